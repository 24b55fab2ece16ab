import { get, query } from "../api/client";
import { statuses, type Counts, type Found, type Page, type Row, type Status } from "../api/types";
import { age } from "../words";

/** What a list is asked for: it stands in the address, so that it can be sent to somebody. */
export interface Filter {
  status: Status[];
  agent: string;
  user: string;
  worker: string;
  end: string;
  tag: string;
  /** What the tasks wait for. */
  why: string;
  since: string;
  roots: boolean;
  /** Only tasks in which a person is asked something. */
  needs: boolean;
  /** Words that are looked for: what has them is no list, and is asked for in another way. */
  q: string;
}

/** The words of the filter box, as they stand in the address. */
const words = ["agent", "user", "worker", "tag", "end", "why", "since"] as const;

/** What the filter box can be told of ends and of waiting. */
export const known = {
  end: ["completed", "failed", "schema_mismatch", "budget", "worker_error", "worker_lost", "timeout", "expired", "stopped"],
  why: ["no_worker", "workers_busy", "behind", "retry", "scheduled", "person", "approval", "child", "timer", "budget", "paused", "assigned", "earlier_attempt", "pinned_worker_absent", "run_locally"],
} as const;

export function filterOf(p: URLSearchParams): Filter {
  return {
    status: p.getAll("status").filter((s): s is Status => (statuses as readonly string[]).includes(s)),
    agent: p.get("agent") ?? "",
    user: p.get("user") ?? "",
    worker: p.get("worker") ?? "",
    end: oneOf(known.end, p.get("end")),
    tag: p.get("tag") ?? "",
    why: oneOf(known.why, p.get("why")),
    since: sinceMs(p.get("since")) ? (p.get("since") ?? "") : "",
    roots: p.get("roots") === "1",
    needs: p.get("needs") === "you",
    q: (p.get("q") ?? "").trim(),
  };
}

const oneOf = (all: readonly string[], given: string | null): string => (given && all.includes(given) ? given : "");

/** The filter that all tasks match. */
export const everything: Filter = filterOf(new URLSearchParams());

/** A length of time such as 15m, 24h or 7d in ms, 0 for anything else. */
export function sinceMs(text: string | null): number {
  const m = /^(\d{1,4})([mhd])$/.exec(text ?? "");
  return m ? Number(m[1]) * { m: 60_000, h: 3_600_000, d: 86_400_000 }[m[2] as "m" | "h" | "d"] : 0;
}

/** The filter as the API takes it, but for the words. */
export function asked(f: Filter, now: number): Record<string, string | string[]> {
  const q: Record<string, string | string[]> = {};
  if (f.status.length) q.status = f.status;
  if (f.agent) q.agent_id = f.agent;
  if (f.user) q.user_id = f.user;
  if (f.worker) q.worker_id = f.worker;
  if (f.end) q.end_reason = f.end;
  if (f.tag) q.tag = f.tag;
  if (f.why) q.waiting_reason = f.why;
  if (f.since) q.from_date = new Date(now - sinceMs(f.since)).toISOString();
  if (f.roots) q.roots = "true";
  if (f.needs) q.needs = "you";
  return q;
}

/**
 * The filter as a stream is asked for it: without what its chips say, which the rows say themselves, so that the chips'
 * numbers are of the same list; and with its time to the minute, so that tabs may share it.
 */
export const watched = (f: Filter, now: number): string => query(asked(unchipped(f), now - (now % 60_000))).slice(1);

/** Whether a row that is told of belongs to the list; null if only the server can say. */
export function matches(f: Filter, r: Row, exact: boolean, now: number): boolean | null {
  if (f.status.length && !f.status.includes(r.status)) return false;
  if (f.needs && !r.approval) return false;
  if (exact) return true;
  if (f.agent && r.agent_id !== f.agent) return false;
  if (f.user && r.user_id !== f.user) return false;
  if (f.worker && r.worker_id !== f.worker) return false;
  if (f.end && r.end_reason !== f.end) return false;
  if (f.tag && !r.tags.includes(f.tag)) return false;
  if (f.roots && r.parent_task_id) return false;
  if (f.since && Date.parse(r.created_at) < now - sinceMs(f.since)) return false;
  return f.why ? null : true; // what it waits for may be others
}

/** The filter without what its chips say: of that list they have their numbers. */
export const unchipped = (f: Filter): Filter => ({ ...f, status: [], needs: false });

/** What the filter box shows of the filter. */
export function tokens(f: Filter): { name: string; value: string; say: string }[] {
  const out: { name: string; value: string; say: string }[] = [];
  for (const name of ["agent", "user", "worker", "tag", "end", "why"] as const) if (f[name]) out.push({ name, value: f[name], say: f[name] });
  if (f.since) out.push({ name: "since", value: f.since, say: age(sinceMs(f.since)) });
  if (f.roots) out.push({ name: "roots", value: "1", say: "only" });
  if (f.q) out.push({ name: "q", value: f.q, say: `“${f.q}”` });
  return out;
}

/** Reads what somebody typed: tokens such as agent:x, those with a value that they do not have, and the words that are to be looked for. */
export function typed(text: string): { tokens: [string, string][]; unknown: string; words: string } {
  const found: [string, string][] = [];
  const unknown: string[] = [];
  const rest: string[] = [];
  for (const word of text.trim().split(/\s+/)) {
    const m = /^([a-z]+):(.+)$/.exec(word);
    if (m && takes(m[1] as string, m[2] as string)) found.push([m[1] as string, m[2] as string]);
    else if (word === "roots:only") found.push(["roots", "1"]);
    else if (m && (words as readonly string[]).includes(m[1] as string)) unknown.push(word);
    else if (word) rest.push(word);
  }
  return { tokens: found, unknown: unknown.join(" "), words: rest.join(" ") };
}

function takes(name: string, value: string): boolean {
  if (name === "since") return sinceMs(value) > 0;
  if (name === "end" || name === "why") return (known[name] as readonly string[]).includes(value);
  return (words as readonly string[]).includes(name);
}

export const perPage = 50;

export const readRows = (f: Filter, now: number, cursor = "", signal?: AbortSignal): Promise<Page<Row>> =>
  get<Page<Row>>("/v1/tasks", { query: { view: "row", per_page: perPage, ...asked(f, now), cursor }, signal });

/** A part of the places that have the filter's words. */
export const readFound = (f: Filter, now: number, cursor = "", signal?: AbortSignal): Promise<Page<Found>> =>
  get<Page<Found>>("/v1/search", { query: { q: f.q, ...asked(f, now), limit: perPage, cursor }, signal });

/** A task that has the words: the first place where they stand, and how many more there are. */
export interface FoundTask {
  first: Found;
  more: number;
}

/** The tasks of places, in the order of the first of each. */
export function byTask(places: Found[]): FoundTask[] {
  const tasks = new Map<string, FoundTask>();
  for (const p of places) {
    const known = tasks.get(p.task_id) ?? { first: p, more: -1 };
    tasks.set(p.task_id, { ...known, more: known.more + 1 });
  }
  return [...tasks.values()];
}

/** Whether a text can only be the id of a task: of one that may be words, these are looked for. */
export const isID = (text: string): boolean => /^(?=.*\d)[\w.:-]{16,128}$/.test(text);

export const readCounts = (f: Filter, now: number, signal?: AbortSignal): Promise<Counts> =>
  get<Counts>("/v1/tasks/counts", { query: asked(unchipped(f), now), signal });

/** A list as its page begins with it. */
export interface List {
  page: Page<Row>;
  counts: Counts;
  /** Those that wait for a person and are further down: they stand on top, also one that was begun long ago. */
  older: Row[];
}

export async function readList(f: Filter, now: number, signal?: AbortSignal): Promise<List> {
  const [page, counts] = await Promise.all([readRows(f, now, "", signal), readCounts(f, now, signal)]);
  const further = page.next_cursor && !f.needs && counts.needs_you > page.items.filter((r) => r.approval).length;
  const needing = further ? (await readRows({ ...f, needs: true }, now, "", signal)).items : [];
  return { page, counts, older: needing.filter((r) => !page.items.some((x) => x.id === r.id)) };
}

let early: { view: string; list: Promise<List> } | undefined;

/** Asks for the list of an address while it is not known yet who looks, and its page is not there. */
export function askEarly(params: URLSearchParams): void {
  const filter = filterOf(params);
  if (filter.q) return; // what has words is no list
  const list = readList(filter, Date.now());
  early = { view: params.toString(), list };
  // Who is not signed in yet gets none: the page asks for it when somebody is.
  list.catch(() => (early = early?.list === list ? undefined : early));
}

/** What was asked for early, once: undefined if that was for another address. */
export function takeEarly(view: string): Promise<List> | undefined {
  const asked = early;
  early = undefined;
  return asked?.view === view ? asked.list : undefined;
}

/** What is to be stopped, as POST /v1/tasks/stop takes it. */
export type Stops = { ids: string[] } | { filter: Record<string, unknown>; all?: boolean };

/** The statuses of tasks that can be stopped. */
export const stoppable: readonly Status[] = ["pending", "executing", "paused"];

/** What stops all of a list that have not ended; null if all that it shows have. */
export function stopAll(f: Filter, now: number): Stops | null {
  const status = f.status.filter((s) => stoppable.includes(s));
  if (f.status.length && !status.length) return null;
  const q: Record<string, unknown> = asked({ ...f, status }, now);
  if (f.roots) q.roots = true;
  return Object.keys(q).length ? { filter: q } : { filter: {}, all: true };
}

/** How many of a list have not ended. */
export function openOf(f: Filter, c: Counts): number {
  if (f.needs) return c.needs_you;
  return stoppable.reduce((n, s) => n + (f.status.length && !f.status.includes(s) ? 0 : (c.by_status[s] ?? 0)), 0);
}
