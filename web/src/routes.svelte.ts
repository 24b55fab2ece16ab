/** Where in the pages one is: the path below /ui/, its parameters and its fragment. */
class Place {
  path = $state("");
  params = $state(new URLSearchParams());
  hash = $state("");
  /** The words of the path. */
  words = $derived(this.path.split("/").filter(Boolean).map(decode));

  constructor() {
    this.#read();
    addEventListener("popstate", () => this.#read());
    addEventListener("hashchange", () => this.#read());
    document.addEventListener("click", (e) => this.#clicked(e));
  }

  /** Whether this page is one that is shared: the fragment is its key, and stays. */
  get #shared(): boolean {
    return this.words[0] === "shared";
  }

  #read(): void {
    this.path = location.pathname.replace(/^\/ui\/?/, "").replace(/\/+$/, "");
    this.params = new URLSearchParams(location.search);
    this.hash = decode(location.hash.slice(1));
  }

  /** Links within the pages load nothing anew. */
  #clicked(e: MouseEvent): void {
    if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
    const a = (e.target as Element | null)?.closest?.("a");
    if (!a || a.target || a.hasAttribute("download") || a.origin !== location.origin || !a.pathname.startsWith("/ui/")) return;
    if (this.#shared) {
      if (a.pathname !== location.pathname) return; // other pages need somebody who is signed in
      e.preventDefault();
      document.getElementById(decode(a.hash.slice(1)))?.scrollIntoView({ block: "center" });
      return;
    }
    e.preventDefault();
    this.go(a.pathname + a.search + a.hash);
  }

  go(to: string, how: "push" | "replace" = "push"): void {
    history[how === "push" ? "pushState" : "replaceState"](null, "", to);
    const before = this.path;
    this.#read();
    if (how === "push" && this.path !== before) {
      document.querySelector<HTMLElement>("main h1")?.focus({ preventScroll: true });
    }
  }

  /** Changes parameters of the present view; null takes one away. */
  set(changes: Record<string, string | string[] | null>, how: "push" | "replace" = "replace"): void {
    const next = new URLSearchParams(this.params);
    for (const [name, value] of Object.entries(changes)) {
      next.delete(name);
      if (Array.isArray(value)) for (const one of value) next.append(name, one);
      else if (value) next.set(name, value);
    }
    const text = next.toString();
    this.go("/ui/" + this.path + (text && "?" + text) + (this.#shared ? location.hash : ""), how);
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const place = new Place();

/** Only a path of these pages is ever gone to from a parameter. */
export function ownPath(next: string | null): string {
  return next && /^\/ui\/(?!\/)[^\\]*$/.test(next) && new URL(next, location.origin).origin === location.origin ? next : "/ui/tasks";
}

export const taskPath = (id: string): string => "/ui/tasks/" + encodeURIComponent(id);
export const agentPath = (id: string): string => "/ui/agents/" + encodeURIComponent(id);
