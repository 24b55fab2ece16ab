import { retryIn, type Frame, type Line, type Reader } from "./stream";

/** What a tab wants to be told of. */
export interface Want {
  /** The filter of its list, as a query; null if it shows none. What the filter does not say is in every list. */
  list: string | null;
  counts: boolean;
  /** What people are asked. */
  approvals: boolean;
  workers: boolean;
  /** The root of the tree of tasks that it shows. */
  tree: string;
  /** The logs that it follows, behind which number. `nth` is another one when it begins anew. */
  logs: Record<string, { after: number; nth: number }>;
}

/** What a tab tells the hub. */
export type Ask = { want: Want } | { now: true } | { signed: true } | { alive: true } | { bye: true };

/** What the hub tells a tab. */
export type Told =
  | { line: Line }
  /** The server's version. */
  | { version: string }
  /** All that the tab wants is told of from here on; what it read before may be old if `fresh`. */
  | { live: true; fresh: boolean }
  /** `list` is the filter that counts are of, and rows if they are not `mixed` with those of a tree. */
  | { frames: Frame[]; list: string; mixed: boolean }
  | { signedOut: true }
  /** The tab was forgotten, as it said nothing for long, and has to say again what it wants. */
  | { again: true }
  | { ping: true };

export const nothing: Want = { list: null, counts: false, approvals: false, workers: false, tree: "", logs: {} };

/** How many logs a stream tells of. */
const most = 20;

interface Log {
  /** Behind which event it goes on: of a stream, the last one that has come. */
  after: number;
  over: boolean;
}

/** What one stream is asked for. */
interface Need {
  rows: boolean;
  counts: boolean;
  approvals: boolean;
  workers: boolean;
  list: string;
  tree: string;
  logs: Map<string, Log>;
}

interface Tab {
  want: Want;
  tell: (t: Told) => void;
  /** Behind which event of each log the tab is, and whether it was told that there are no more. */
  at: Map<string, { after: number; nth: number; over: boolean }>;
  /** Whether it was told that all it wants is told of. */
  live: boolean;
  /** Whether its lists have been told of without a break since it was live. */
  whole: boolean;
}

interface Stream {
  need: Need;
  end: AbortController;
  greeted: boolean;
}

/**
 * Holds one stream for all tabs of a browser, which has six connections for a server and no more. What the tabs want
 * together is one subscription; when it grows, the stream that tells of more is opened before the other is closed,
 * so that nobody misses anything. What tabs are told again they leave out by its number (logs) or age (rows).
 */
export class Hub {
  readonly #tabs = new Map<object, Tab>();
  #stream: Stream | null = null;
  #opening: Stream | null = null;
  #line: Line = { state: "none" };
  #tries = 0;
  #since = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #tidy: ReturnType<typeof setTimeout> | undefined;
  #due = false;
  /** Signed out, or refused: nothing is asked until somebody says so. */
  #still = false;

  #version = "";

  constructor(readonly read: Reader) {}

  get tabs(): number {
    return this.#tabs.size;
  }

  join(key: object, tell: (t: Told) => void): void {
    this.#tabs.set(key, { want: nothing, tell, at: new Map(), live: false, whole: false });
    tell({ line: this.#line });
    if (this.#version) tell({ version: this.#version });
  }

  leave(key: object): void {
    if (this.#tabs.delete(key)) this.#soon();
  }

  ask(key: object, a: Ask): void {
    const tab = this.#tabs.get(key);
    if (!tab) return;
    if ("want" in a) this.#want(tab, a.want);
    else if ("now" in a) this.#now(key, tab);
    else if ("signed" in a) this.#signed();
    else if ("bye" in a) this.leave(key);
  }

  /** Ends the stream for a while: a page that nobody looks at goes on where it was. */
  rest(): void {
    this.#close();
    this.#still = true;
    this.#say({ state: "none" });
  }

  wake(): void {
    this.#still = false;
    this.#soon();
  }

  #want(tab: Tab, want: Want): void {
    const before = tab.want;
    if (kinds.some((k) => before[k] !== want[k])) tab.whole = false;
    tab.want = want;
    tab.live = false;
    for (const [id, log] of Object.entries(want.logs)) {
      if (tab.at.get(id)?.nth !== log.nth) tab.at.set(id, { ...log, over: false });
    }
    for (const id of tab.at.keys()) if (!(id in want.logs)) tab.at.delete(id);
    this.#soon();
  }

  /** What somebody looks at comes first, and is tried at once. */
  #now(key: object, tab: Tab): void {
    this.#tabs.delete(key);
    this.#tabs.set(key, tab);
    if (this.#retry === undefined) return this.#soon();
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#sync();
  }

  /** Somebody has signed in or out. */
  #signed(): void {
    this.#close();
    this.#still = false;
    this.#soon();
  }

  #soon(): void {
    if (this.#due) return;
    this.#due = true;
    setTimeout(() => {
      this.#due = false;
      this.#sync();
    }, 10);
  }

  #need(): Need {
    const need: Need = { rows: false, counts: false, approvals: false, workers: false, list: "", tree: "", logs: new Map() };
    const lists = new Set<string>();
    const trees = new Set<string>();
    for (const t of this.#tabs.values()) {
      if (t.want.list !== null) {
        lists.add(t.want.list);
        need.rows = true;
        need.counts ||= t.want.counts;
      }
      if (t.want.tree) trees.add(t.want.tree);
      need.approvals ||= t.want.approvals;
      need.workers ||= t.want.workers;
    }
    // A stream tells of one list and one tree. More of them are told of by the list of all tasks, of which tabs take theirs.
    if (lists.size <= 1 && trees.size <= 1) {
      [need.list = ""] = lists;
      [need.tree = ""] = trees;
    } else need.rows = true;
    // Of a list of one agent a stream tells that agent's workers alone.
    if (need.workers && ofOneAgent(need.list)) need.list = "";
    for (const t of [...this.#tabs.values()].reverse()) {
      for (const [id, { after, over }] of t.at) {
        const log = need.logs.get(id);
        if (over) continue;
        if (log) log.after = Math.min(log.after, after);
        else if (need.logs.size < most) need.logs.set(id, { after, over: false });
      }
    }
    return need;
  }

  #sync(): void {
    if (this.#still) return;
    const need = this.#need();
    if (empty(need)) {
      this.#close();
      this.#say({ state: "none" });
      return;
    }
    clearTimeout(this.#tidy);
    if (this.#stream && covers(this.#stream.need, need)) {
      this.#opening?.end.abort();
      this.#opening = null;
      this.#greet(this.#stream.need);
      if (wider(this.#stream.need, need)) this.#tidy = setTimeout(() => this.#open(this.#need()), 5000);
      return;
    }
    if (this.#opening && covers(this.#opening.need, need)) return;
    if (this.#retry === undefined) this.#open(need);
  }

  #open(need: Need): void {
    if (empty(need) || this.#still) return;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#opening?.end.abort();
    const stream: Stream = { need, end: new AbortController(), greeted: false };
    this.#opening = stream;
    if (!this.#stream && this.#line.state !== "cut") this.#say({ state: "connecting" });
    void this.read(urlOf(need), stream.end.signal, (frames) => this.#take(stream, frames)).then((fault) => {
      if (stream.end.signal.aborted) return;
      if (fault) this.#refused(fault.status, fault.message);
      else this.#lost(stream);
    });
  }

  #take(stream: Stream, frames: Frame[]): void {
    const rest: Frame[] = [];
    for (const f of frames) {
      if (f.event === "hello") this.#hello(stream, f);
      else if (f.event === "bye" && f.data.includes("signed_out")) return this.#signedOut();
      else if (f.event !== "bye") rest.push(f);
    }
    if (!rest.length) return;
    const own = new Map<Tab, Frame[]>([...this.#tabs.values()].map((t) => [t, []]));
    for (const f of rest) {
      const about = aboutLog(f);
      const log = about && stream.need.logs.get(about.task_id);
      if (log && f.event === "log") log.after = Math.max(log.after, about.id);
      else if (log) log.over = true;
      for (const [tab, frames] of own) if (about ? owned(tab, f, about, log) : listens(tab.want, f)) frames.push(f);
    }
    for (const [tab, frames] of own) if (frames.length) tab.tell({ frames, list: stream.need.list, mixed: stream.need.tree !== "" && stream.need.list !== "" });
  }

  /** The new stream tells of all: the one before it may go. */
  #hello(stream: Stream, f: Frame): void {
    stream.greeted = true;
    if (this.#opening === stream) this.#opening = null;
    const before = this.#stream;
    this.#stream = stream;
    before?.end.abort();
    if (!before) for (const t of this.#tabs.values()) t.whole = false;
    this.#tries = 0;
    this.#since = 0;
    this.#say({ state: "open" });
    this.#version = (JSON.parse(f.data) as { version: string }).version;
    for (const t of this.#tabs.values()) {
      t.live = false;
      t.tell({ version: this.#version });
    }
    this.#greet(stream.need);
    this.#soon(); // more may be wanted by now
  }

  /** Says to tabs that all they want is told of. */
  #greet(have: Need): void {
    for (const t of this.#tabs.values()) {
      if (t.live || !coversTab(have, t)) continue;
      t.live = true;
      t.tell({ live: true, fresh: !t.whole });
      t.whole = true;
    }
  }

  #lost(stream: Stream): void {
    if (this.#stream === stream) this.#stream = null;
    else if (this.#opening === stream) this.#opening = null;
    else return;
    if (this.#opening) return; // another is on its way
    // Where each log goes on is what its tabs have by now.
    const wait = retryIn(++this.#tries);
    if (!this.#stream) {
      this.#since ||= Date.now();
      this.#say({ state: "cut", since: this.#since, retryAt: Date.now() + wait });
    }
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#sync();
    }, wait);
  }

  #refused(status: number, message: string): void {
    if (status === 401) return this.#signedOut();
    this.#close();
    this.#still = true;
    this.#say({ state: "refused", status, message });
  }

  #signedOut(): void {
    this.#close();
    this.#still = true;
    this.#say({ state: "none" });
    for (const t of this.#tabs.values()) t.tell({ signedOut: true });
  }

  #close(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#tidy);
    this.#retry = undefined;
    this.#stream?.end.abort();
    this.#opening?.end.abort();
    this.#stream = this.#opening = null;
    this.#since = 0;
    this.#tries = 0;
    for (const t of this.#tabs.values()) t.live = t.whole = false;
  }

  #say(line: Line): void {
    if (this.#line.state === line.state && line.state !== "cut") return;
    this.#line = line;
    for (const t of this.#tabs.values()) t.tell({ line });
  }
}

/** What a tab may want beside logs. */
const kinds = ["list", "counts", "approvals", "workers", "tree"] as const;

const ofOneAgent = (list: string): boolean => new URLSearchParams(list).has("agent_id");

const empty = (n: Need): boolean => !n.rows && !n.approvals && !n.workers && !n.tree && n.logs.size === 0;

/** Whether what a stream tells of is all that is needed. */
function covers(have: Need, need: Need): boolean {
  return coversLists(have, need) && [...need.logs].every(([id, log]) => coversLog(have, id, log.after));
}

function coversLists(have: Need, need: Need): boolean {
  if (need.rows && !(have.rows && (have.list === need.list || have.list === ""))) return false;
  if (need.counts && !(have.counts && have.list === need.list)) return false;
  if (!coversOthers(have, need)) return false;
  return !need.tree || have.tree === need.tree || (have.rows && have.list === "");
}

const coversOthers = (have: Need, need: { approvals: boolean; workers: boolean }): boolean =>
  (have.approvals || !need.approvals) && ((have.workers && !ofOneAgent(have.list)) || !need.workers);

const coversLog = (have: Need, id: string, after: number): boolean => {
  const log = have.logs.get(id);
  return log !== undefined && !log.over && after >= log.after;
};

function coversTab(have: Need, t: Tab): boolean {
  const list = t.want.list;
  if (list !== null && !(have.rows && (have.list === list || have.list === ""))) return false;
  if (t.want.tree && have.tree !== t.want.tree && !(have.rows && have.list === "")) return false;
  if (!coversOthers(have, t.want)) return false;
  return [...t.at].every(([id, log]) => log.over || have.logs.has(id) || have.logs.size >= most);
}

/** Whether a stream tells of much that nobody needs. */
const wider = (have: Need, need: Need): boolean =>
  (["list", "rows", "tree", "approvals", "workers"] as const).some((k) => have[k] !== need[k]) || [...have.logs].some(([id, log]) => !log.over && !need.logs.has(id));

/** Whose log a frame is about, and which event of it; null for other frames. */
function aboutLog(f: Frame): { id: number; task_id: string } | null {
  if (f.event === "log") {
    const found = /^\{"id":(\d+),"type":"[^"]*","task_id":"([^"\\]*)"/.exec(f.data); // without reading all of it
    return found ? { id: Number(found[1]), task_id: found[2] as string } : (JSON.parse(f.data) as { id: number; task_id: string });
  }
  if (f.event === "log_end" || f.event === "gone" || (f.event === "reset" && f.data.includes('"task_id"'))) {
    return { id: 0, task_id: (JSON.parse(f.data) as { task_id: string }).task_id };
  }
  return null;
}

/** Whether a frame about a log is for a tab. What it has is not told again, nor an end before all is told. */
function owned(tab: Tab, f: Frame, about: { id: number; task_id: string }, log: Log | null | undefined): boolean {
  const at = tab.at.get(about.task_id);
  if (!at || at.over) return false;
  if (f.event === "log") {
    if (about.id !== at.after + 1) return false; // it has it, or is told by a stream that begins further back
    at.after = about.id;
    return true;
  }
  if (f.event === "log_end" && log && at.after < log.after) return false;
  at.over = true;
  return true;
}

/** Whether a frame that is about no log is for a tab. */
function listens(w: Want, f: Frame): boolean {
  const what = f.event === "reset" ? (JSON.parse(f.data) as { what: string }).what : f.event;
  if (what === "approval" || what === "approvals") return w.approvals;
  if (what === "workers") return w.workers;
  return w.list !== null || w.tree !== "";
}

function urlOf(n: Need): string {
  const q = new URLSearchParams(n.rows ? n.list : "");
  if (n.rows) q.set("rows", "true");
  if (n.rows && n.counts) q.set("counts", "true");
  if (n.approvals) q.set("approvals", "true");
  if (n.workers) q.set("workers", "true");
  if (n.tree) q.set("tree", n.tree);
  for (const [id, { after }] of n.logs) q.append("log", `${id}~${after}`);
  return "/v1/events?" + q.toString();
}
