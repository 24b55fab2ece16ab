import { browser } from "./browser.svelte";

/** Keys that act, by what `name` calls them. */
export type Keymap = Record<string, (e: KeyboardEvent) => void>;

/** A key's name: "?" or "shift+J", with "mod" for the command or control key. */
function name(e: KeyboardEvent): string {
  const mod = e.metaKey || e.ctrlKey ? "mod+" : "";
  return mod + (e.key.length === 1 ? (mod ? e.key.toLowerCase() : e.key) : e.key);
}

/** Keys that move go on while they are held down; any other acts once. */
const moves = new Set(["j", "k", "J", "K", "[", "]", "!"]);

const typing = (el: Element | null): boolean => !!el?.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");

/**
 * Makes keys act while the component lives. None acts while somebody types or a dialog is open, and single keys
 * can be turned off (WCAG 2.1.4); those with "mod" or named in full, such as Escape, always do.
 */
export function keymap(map: Keymap): () => () => void {
  return () => {
    const press = (e: KeyboardEvent): void => {
      if (e.defaultPrevented || e.altKey || e.isComposing) return;
      const key = name(e);
      const act = map[key];
      if (!act || (e.repeat && !moves.has(key))) return;
      const single = e.key.length === 1 && !key.startsWith("mod+");
      if (single && (!browser.keys || typing(document.activeElement))) return;
      if (!key.startsWith("mod+") && document.querySelector("dialog[open]")) return;
      if (key === "Enter" && document.activeElement?.closest("a, button, input, textarea, select, summary, [role=button]")) return;
      act(e);
      e.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  };
}
