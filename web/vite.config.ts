import { svelte } from "@sveltejs/vite-plugin-svelte";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Stores what text there is gzipped: the server sends it as it lies in the binary. */
function gzipped(): Plugin {
  return {
    name: "errand-gzip",
    apply: "build",
    writeBundle({ dir }, bundle) {
      for (const name of Object.keys(bundle)) {
        if (!/\.(js|css|html|svg|txt)$/.test(name)) continue;
        const file = join(dir as string, name);
        writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }));
        rmSync(file);
      }
    },
  };
}

/** What is needed at first is asked for at once, not when what needs it has come: the font that text is drawn with, and all of the script. */
function preloaded(): Plugin {
  return {
    name: "errand-preload",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler(html, { bundle, chunk }) {
        const fonts = Object.keys(bundle ?? {}).filter((name) => /geist-latin.*\.woff2$/.test(name));
        const links = [...fonts.map((name) => `rel="preload" as="font" type="font/woff2" href="/ui/${name}"`), ...(chunk?.imports ?? []).map((name) => `rel="modulepreload" href="/ui/${name}"`)];
        return html.replace("</title>", ["</title>", ...links.map((link) => `<link ${link} crossorigin />`)].join("\n    "));
      },
    },
  };
}

/** Whatever is bundled brings its licence along. */
function licensed(): Plugin {
  return {
    name: "errand-licences",
    apply: "build",
    generateBundle(_, bundle) {
      const names = new Set(["@fontsource-variable/geist", "@fontsource-variable/geist-mono"]);
      for (const chunk of Object.values(bundle)) {
        for (const id of chunk.type === "chunk" ? chunk.moduleIds : []) {
          const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(id.slice(id.lastIndexOf("node_modules/")));
          if (found) names.add(found[1] as string);
        }
      }
      const texts = [...names].sort().map((name) => {
        const folder = join(import.meta.dirname, "node_modules", name);
        const file = readdirSync(folder).find((f) => /^licen[cs]e/i.test(f));
        if (!file) throw new Error(`${name} is bundled and has no licence`);
        const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
        return `${name} ${version}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
      });
      this.emitFile({ type: "asset", fileName: "licences.txt", source: texts.join(`\n${"-".repeat(72)}\n\n`) });
    },
  };
}

export default defineConfig({
  base: "/ui/",
  plugins: [svelte(), preloaded(), licensed(), gzipped()],
  build: {
    outDir: "../server/internal/ui/dist",
    emptyOutDir: true,
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: false,
    cssCodeSplit: false,
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        entryFileNames: "assets/[name]-[hash].js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/[name]-[hash][extname]",
      },
    },
  },
  worker: { format: "es", rolldownOptions: { output: { entryFileNames: "assets/[name]-[hash].js" } } },
  test: { include: ["src/**/*.test.ts"] },
});
