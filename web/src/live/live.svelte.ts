import { session } from "../api/session.svelte";
import type { Approval, Counts, Row, TaskEvent, Worker } from "../api/types";
import { browser } from "../browser.svelte";
import type { Ask, Told, Want } from "./hub";
import address from "./live.worker?sharedworker&url";
import type { Frame, Line } from "./stream";

/** What a page is told of a list or a tree, of what people are asked, and of workers. */
export interface Watcher {
  /** The list's filter as a query; undefined if it shows none. */
  list?: string;
  counts?: boolean;
  tree?: string;
  /** The newest state of a row. It matches the filter if `exact`; else the page must see. */
  row?: (row: Row, exact: boolean) => void;
  gone?: (id: string) => void;
  /** The list's counts, or null when they have changed and must be read. */
  sums?: (c: Counts | null) => void;
  /** What somebody is asked, as it is now: it may have been answered, or closed. */
  approval?: (a: Approval) => void;
  /** All workers. */
  workers?: (w: Worker[]) => void;
  /** Is to be read: at first, and whenever what was read may be old; `often` if too much changes to be told. */
  again: (often: boolean) => void;
}

/** What a page is told of a log. */
export interface Follower {
  event: (e: TaskEvent) => void;
  /** All is told; `gone` if the task is not there, `again` if the log must be read anew. */
  end: (how: "over" | "gone" | "again") => void;
}

interface Port {
  ask: (a: Ask) => void;
}

/** How long a page that has no share of others is hidden before it gives up its stream. */
const patience = 30_000;

/** What this tab is told by the one stream of all tabs. */
class Live {
  line = $state.raw<Line>({ state: "none" });
  /** What the page shows while there is no stream, for the banner. */
  shown = $state("");
  /** A break that lasts long enough to be told. */
  cut = $derived(this.line.state === "cut" && browser.now - this.line.since > 2000 ? this.line : null);
  /** Why nothing may be written now; "" if it may. */
  off = $derived(this.cut ? "Not connected: nothing can be done until the server is back" : "");
  /** The watchers, and what has each read at the latest, whether there is a stream or not; 0 when it has. */
  #watchers = new Map<Watcher, ReturnType<typeof setTimeout> | 0>();
  #logs = new Map<string, { after: number; nth: number; on: Follower }>();
  /** The statuses of tasks as they were told last: numbers change with them. */
  #statuses = new Map<string, string>();
  #nth = 0;
  #port: Port | null = null;
  /** Somebody has signed in here since the page was opened, and the port was not told. */
  #signed = false;
  #due = false;

  /** Begins to tell of a list or a tree, which may be asked for already; answers what ends it. */
  watch(w: Watcher, asked = false): () => void {
    // What is read behind the stream's greeting is read once; a slow one is not waited for.
    this.#watchers.set(w, asked ? 0 : setTimeout(() => this.#first(w), 100));
    this.#changed();
    return () => {
      clearTimeout(this.#watchers.get(w) || undefined);
      this.#watchers.delete(w);
      this.#changed();
    };
  }

  /** Begins to tell of a log behind an event; answers what ends it. */
  follow(id: string, after: number, on: Follower): () => void {
    const log = { after, nth: ++this.#nth, on };
    this.#logs.set(id, log);
    this.#changed();
    return () => {
      if (this.#logs.get(id) !== log) return;
      this.#logs.delete(id);
      this.#changed();
    };
  }

  /** Tries at once. */
  now(): void {
    this.#port?.ask({ now: true });
  }

  constructor() {
    session.changed = () => {
      if (this.#port) this.#port.ask({ signed: true });
      else this.#signed = true;
    };
  }

  #changed(): void {
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      if (!this.#port) {
        this.#port = this.#open();
        if (this.#signed) this.#port.ask({ signed: true }); // other tabs may still follow what somebody else sees
      }
      this.#port.ask({ want: this.#want() });
    });
  }

  #want(): Want {
    const all = [...this.#watchers.keys()];
    const lists = new Set(all.map((w) => w.list).filter((l) => l !== undefined));
    const logs: Want["logs"] = {};
    for (const [id, { after, nth }] of this.#logs) logs[id] = { after, nth };
    return {
      list: lists.size === 0 ? null : lists.size === 1 ? ([...lists][0] as string) : "",
      counts: all.some((w) => w.counts),
      approvals: all.some((w) => w.approval),
      workers: all.some((w) => w.workers),
      tree: all.find((w) => w.tree)?.tree ?? "",
      logs,
    };
  }

  #open(): Port {
    const port = typeof SharedWorker === "undefined" ? this.#alone() : this.#shared();
    addEventListener("focus", () => this.now());
    addEventListener("online", () => this.now());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.now();
    });
    addEventListener("pagehide", () => port.ask({ bye: true }));
    addEventListener("pageshow", (e) => {
      if ((e as PageTransitionEvent).persisted) port.ask({ want: this.#want() });
    });
    return port;
  }

  #shared(): Port {
    const named = { createScriptURL: (url: string) => url };
    const policy = (window as { trustedTypes?: { createPolicy: (name: string, rules: typeof named) => typeof named } }).trustedTypes?.createPolicy("errand-worker", named) ?? named;
    const worker = new SharedWorker(policy.createScriptURL(address), { type: "module", name: "errand" });
    worker.port.onmessage = ({ data }: MessageEvent<Told>) => {
      if ("ping" in data) worker.port.postMessage({ alive: true } satisfies Ask);
      else if ("again" in data) worker.port.postMessage({ want: this.#want() } satisfies Ask);
      else this.#told(data);
    };
    return { ask: (a) => worker.port.postMessage(a) };
  }

  /** Without a worker of all tabs, a tab has a stream of its own while it is looked at. */
  #alone(): Port {
    const hub = Promise.all([import("./hub"), import("./stream")]).then(([{ Hub }, { readStream }]) => new Hub(readStream));
    const key = {};
    let rest: ReturnType<typeof setTimeout> | undefined;
    void hub.then((h) => h.join(key, (t) => this.#told(t)));
    document.addEventListener("visibilitychange", () => {
      clearTimeout(rest);
      if (document.visibilityState === "visible") void hub.then((h) => h.wake());
      else rest = setTimeout(() => void hub.then((h) => h.rest()), patience);
    });
    return { ask: (a) => void hub.then((h) => h.ask(key, a)) };
  }

  #told(t: Told): void {
    if ("line" in t) this.line = t.line;
    else if ("signedOut" in t) void session.ask().catch(() => {});
    else if ("live" in t) {
      for (const [w, unread] of this.#watchers) if (t.fresh || unread) this.#first(w);
    } else if ("version" in t) session.heard(t.version);
    else if ("frames" in t) for (const f of t.frames) this.#frame(f, t.list, t.mixed);
  }

  #first(w: Watcher): void {
    clearTimeout(this.#watchers.get(w) || undefined);
    if (this.#watchers.has(w)) this.#watchers.set(w, 0);
    w.again(false);
  }

  #frame(f: Frame, list: string, mixed: boolean): void {
    switch (f.event) {
      case "log": {
        const e = JSON.parse(f.data) as TaskEvent;
        const log = this.#logs.get(e.task_id);
        if (log) log.after = Math.max(log.after, e.id);
        return log?.on.event(e);
      }
      case "log_end":
      case "gone":
        return this.#over((JSON.parse(f.data) as { task_id: string }).task_id, f.event === "gone" ? "gone" : "over");
      case "row": {
        const d = JSON.parse(f.data) as { item?: Row; gone?: string };
        const other = !d.item || this.#statuses.get(d.item.id) !== d.item.status;
        if (d.item) this.#statuses.set(d.item.id, d.item.status);
        if (this.#statuses.size > 5000) this.#statuses.clear();
        for (const w of this.#watchers.keys()) {
          if (d.item) w.row?.(d.item, w.list === list && !mixed);
          else if (d.gone) w.gone?.(d.gone);
          if (w.counts && w.list !== list && other) w.sums?.(null);
        }
        return;
      }
      case "counts":
        for (const w of this.#watchers.keys()) if (w.counts && w.list === list) w.sums?.(JSON.parse(f.data) as Counts);
        return;
      case "approval":
        for (const w of this.#watchers.keys()) w.approval?.(JSON.parse(f.data) as Approval);
        return;
      case "workers":
        for (const w of this.#watchers.keys()) w.workers?.((JSON.parse(f.data) as { items: Worker[] }).items);
        return;
      case "reset": {
        const d = JSON.parse(f.data) as { what: string; task_id?: string };
        if (d.task_id) return this.#over(d.task_id, "again");
        for (const w of this.#watchers.keys()) this.#reset(w, d.what);
      }
    }
  }

  /** Tells a watcher what it has to read again, if it shows any of that. */
  #reset(w: Watcher, what: string): void {
    if (what === "counts") w.sums?.(null);
    else if (what === "approvals" ? w.approval : what === "workers" ? w.workers : w.list !== undefined || w.tree) w.again(true);
  }

  #over(id: string, how: "over" | "gone" | "again"): void {
    const log = this.#logs.get(id);
    if (!log) return;
    this.#logs.delete(id);
    log.on.end(how);
    this.#changed();
  }
}

export const live = new Live();

/** Calls at once, and then not more often than every `ms`; the last call is never lost. */
export function atMost(ms: number, act: () => void): (() => void) & { stop: () => void } {
  let at = -Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const call = (): void => {
    if (timer !== undefined) return;
    timer = setTimeout(
      () => {
        timer = undefined;
        at = performance.now();
        act();
      },
      Math.max(0, at + ms - performance.now()),
    );
  };
  return Object.assign(call, { stop: () => clearTimeout(timer) });
}
