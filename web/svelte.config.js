import { vitePreprocess } from "@sveltejs/vite-plugin-svelte";

export default {
  preprocess: vitePreprocess(),
  compilerOptions: {
    runes: true,
    // What scrolls must be reachable by key (axe: scrollable-region-focusable).
    warningFilter: (w) => w.code !== "a11y_no_noninteractive_tabindex",
  },
};
