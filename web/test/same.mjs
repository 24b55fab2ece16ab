// Builds the pages anew and compares them with those that are committed: unpacked, since gzip's bytes are a library's own.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { build } from "vite";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const fresh = mkdtempSync(join(tmpdir(), "errand-ui-build-"));
await build({ root, logLevel: "error", build: { outDir: fresh, emptyOutDir: true } });

function files(folder) {
  const all = new Map();
  for (const e of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!e.isFile() || e.name === "SOURCE") continue;
    const path = join(e.parentPath, e.name);
    const content = readFileSync(path);
    all.set(path.slice(folder.length + 1), path.endsWith(".gz") ? gunzipSync(content) : content);
  }
  return all;
}
const [have, want] = [files(join(root, "../server/internal/ui/dist")), files(fresh)];
rmSync(fresh, { recursive: true });
const differ = [...new Set([...have.keys(), ...want.keys()])].filter((name) => !have.get(name)?.equals(want.get(name) ?? Buffer.alloc(0)));
if (differ.length) {
  console.error(`server/internal/ui/dist is not what a build makes (run make ui): ${differ.join(", ")}`);
  process.exit(1);
}
console.log(`same: ${want.size} files`);
