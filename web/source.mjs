// Writes dist/SOURCE: the sum of what the pages are built from. A test in Go
// (server/internal/ui) computes the same, so that a stale build is found without Node.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(fileURLToPath(import.meta.url));
const names = ["index.html", "package.json", "package-lock.json", "svelte.config.js", "tsconfig.json", "vite.config.ts", "source.mjs"];
for (const folder of ["src", "public"]) {
  for (const e of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
    if (e.isFile() && !e.name.endsWith(".test.ts")) names.push(join(e.parentPath, e.name).slice(root.length + 1));
  }
}
// In the order of their bytes, as Go sorts.
names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
const sum = (content) => createHash("sha256").update(content).digest("hex");
const all = names.map((name) => `${sum(readFileSync(join(root, name)))}  ${name}\n`).join("");
writeFileSync(join(root, "../server/internal/ui/dist/SOURCE"), sum(all) + "\n");
