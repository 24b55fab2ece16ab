/** A list that was given a name: its filter as it stands in the address. */
export interface View {
  name: string;
  query: string;
}

const times = {
  exact: { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, timeZoneName: "short" },
  day: { day: "numeric", month: "short" },
  minute: { hour: "2-digit", minute: "2-digit" },
  second: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
} as const satisfies Record<string, Intl.DateTimeFormatOptions>;
const formats = new Map<string, Intl.DateTimeFormat>();

/** How a moment is written. Each format is made once, which takes longer than to use it a hundred times. */
function format(name: keyof typeof times, utc: boolean): Intl.DateTimeFormat {
  const key = `${name} ${utc}`;
  const made = formats.get(key) ?? new Intl.DateTimeFormat("en-GB", { ...times[name], ...(utc ? { timeZone: "UTC" } : {}) });
  formats.set(key, made);
  return made;
}

/** What this browser remembers: how things look. Never who is signed in. */
class Browser {
  theme = $state<"" | "light" | "dark">(read("theme", ["", "light", "dark"]));
  utc = $state(read("times", ["", "utc"]) === "utc");
  roomy = $state(read("rows", ["", "roomy"]) === "roomy");
  keys = $state(read("keys", ["", "off"]) !== "off");
  /** The lists that were saved, by name. */
  views = $state.raw<View[]>(readViews());
  /** The present moment, which relative times are counted from. */
  now = $state(Date.now());

  constructor() {
    this.#dress();
    setInterval(() => {
      if (document.visibilityState === "visible") this.now = Date.now();
    }, 1000);
    document.addEventListener("visibilitychange", () => (this.now = Date.now()));
  }

  set(what: "theme", value: "" | "light" | "dark"): void;
  set(what: "utc" | "roomy" | "keys", value: boolean): void;
  set(what: "theme" | "utc" | "roomy" | "keys", value: string | boolean): void {
    if (what === "theme") this.theme = value as "" | "light" | "dark";
    else this[what] = value as boolean;
    write("theme", this.theme);
    write("times", this.utc ? "utc" : "");
    write("rows", this.roomy ? "roomy" : "");
    write("keys", this.keys ? "" : "off");
    this.#dress();
  }

  /** Saves a list under a name, in the place of one that had it. */
  save(view: View): void {
    this.#keep([...readViews().filter((v) => v.name !== view.name), view].sort((a, b) => a.name.localeCompare(b.name)));
  }

  forget(name: string): void {
    this.#keep(readViews().filter((v) => v.name !== name));
  }

  /** What other tabs have saved meanwhile is read before. */
  #keep(views: View[]): void {
    this.views = views;
    write("views", views.length ? JSON.stringify(views) : "");
  }

  /** Light to dark and back, whatever the system says. */
  flip(): void {
    const dark = this.theme === "dark" || (this.theme === "" && matchMedia("(prefers-color-scheme: dark)").matches);
    this.set("theme", dark ? "light" : "dark");
  }

  #dress(): void {
    document.documentElement.dataset.theme = this.theme;
    document.documentElement.dataset.rows = this.roomy ? "roomy" : "";
  }

  /** The exact moment, in words. */
  exact(time: string): string {
    const d = new Date(time);
    if (Number.isNaN(d.getTime())) return "";
    return format("exact", this.utc).format(d);
  }

  /** A text of the server's, its moments as the pages say them. */
  clocked(text: string): string {
    return text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, (time) => this.clock(time));
  }

  /** A moment on an axis: its day, or the time of the day. */
  mark(time: number, days: boolean): string {
    return format(days ? "day" : "minute", this.utc).format(time);
  }

  /** The time of day, with the day if it is another one. */
  clock(time: string, seconds = false): string {
    const d = new Date(time);
    if (Number.isNaN(d.getTime())) return "";
    const day = format("day", this.utc);
    const at = format(seconds ? "second" : "minute", this.utc).format(d);
    return day.format(d) === day.format(this.now) ? at : `${day.format(d)}, ${at}`;
  }
}

function read<T extends string>(name: string, allowed: readonly T[]): T {
  try {
    const value = localStorage.getItem("errand." + name) as T | null;
    return value !== null && allowed.includes(value) ? value : (allowed[0] as T);
  } catch {
    return allowed[0] as T;
  }
}

function readViews(): View[] {
  try {
    const all: unknown = JSON.parse(localStorage.getItem("errand.views") ?? "[]");
    return Array.isArray(all) ? all.filter((v: Partial<View> | null): v is View => typeof v?.name === "string" && typeof v.query === "string") : [];
  } catch {
    return [];
  }
}

function write(name: string, value: string): void {
  try {
    if (value) localStorage.setItem("errand." + name, value);
    else localStorage.removeItem("errand." + name);
  } catch {
    // a browser that keeps nothing
  }
}

export const browser = new Browser();
