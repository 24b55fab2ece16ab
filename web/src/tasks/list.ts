import { Fault, get } from "../api/client";
import { statuses, type Counts, type Page, type Row, type Status } from "../api/types";
import { age } from "../words";

/** What a list is asked for: it stands in the address, so that it can be sent to somebody. */
export interface Filter {
  status: Status[];
  needs: boolean;
  agent: string;
  user: string;
  tag: string[];
  worker: string;
  why: string;
  since: string;
  roots: boolean;
  q: string;
}

/** The words of the filter box, and what they stand for in the address. */
export const words = { agent: "agent", user: "user", tag: "tag", worker: "worker", why: "why", since: "since" } as const;

export function filterOf(p: URLSearchParams): Filter {
  return {
    status: p.getAll("status").filter((s): s is Status => (statuses as readonly string[]).includes(s)),
    needs: p.get("needs") === "you",
    agent: p.get("agent") ?? "",
    user: p.get("user") ?? "",
    tag: p.getAll("tag"),
    worker: p.get("worker") ?? "",
    why: p.get("why") ?? "",
    since: sinceMs(p.get("since")) ? (p.get("since") ?? "") : "",
    roots: p.get("roots") === "1",
    q: p.get("q") ?? "",
  };
}

/** A length of time such as 15m, 24h or 7d in ms, 0 for anything else. */
export function sinceMs(text: string | null): number {
  const m = /^(\d{1,4})([mhd])$/.exec(text ?? "");
  return m ? Number(m[1]) * { m: 60_000, h: 3_600_000, d: 86_400_000 }[m[2] as "m" | "h" | "d"] : 0;
}

/** The filter as the API takes it. */
export function asked(f: Filter, now: number): Record<string, string | string[]> {
  const q: Record<string, string | string[]> = {};
  if (f.status.length) q.status = f.status;
  if (f.needs) q.needs = "you";
  if (f.agent) q.agent_id = f.agent;
  if (f.user) q.user_id = f.user;
  if (f.tag.length) q.tag = f.tag;
  if (f.worker) q.worker_id = f.worker;
  if (f.why) q.waiting_reason = f.why;
  if (f.since) q.from_date = new Date(now - sinceMs(f.since)).toISOString();
  if (f.roots) q.roots = "true";
  if (f.q) q.q = f.q;
  return q;
}

/** The filter without its status: what the chips count. */
export const anyStatus = (f: Filter): Filter => ({ ...f, status: [], needs: false });

/** What the filter box shows of the filter. */
export function tokens(f: Filter): { name: string; value: string; say: string }[] {
  const out: { name: string; value: string; say: string }[] = [];
  for (const name of ["agent", "user", "worker", "why"] as const) if (f[name]) out.push({ name, value: f[name], say: f[name] });
  for (const value of f.tag) out.push({ name: "tag", value, say: value });
  if (f.since) out.push({ name: "since", value: f.since, say: age(sinceMs(f.since)) });
  if (f.roots) out.push({ name: "roots", value: "1", say: "only" });
  return out;
}

/** Reads what somebody typed: tokens such as agent:x, and the rest as words to look for. */
export function typed(text: string): { tokens: [string, string][]; q: string } {
  const found: [string, string][] = [];
  const rest: string[] = [];
  for (const word of text.trim().split(/\s+/)) {
    const m = /^([a-z]+):(.+)$/.exec(word);
    if (m && (m[1] as string) in words && (m[1] !== "since" || sinceMs(m[2] as string))) found.push([m[1] as string, m[2] as string]);
    else if (word === "roots:only") found.push(["roots", "1"]);
    else if (word) rest.push(word);
  }
  return { tokens: found, q: rest.join(" ") };
}

export const perPage = 50;

/** What a list of before rows leaves out (a server of before `view=row`). */
const bare = { prompt: null, tags: [], turn: 1, attempt: 1, max_attempts: 1, started_at: null, finished_at: null, end_reason: null, waiting: null, stop: null, tokens: null, worker_id: null, created_by: null, result_bytes: null, result_check: null, children: null, plan: null, last_text: null, last_event_seq: 0 };
let rows = true;

export async function readRows(f: Filter, now: number, cursor = "", signal?: AbortSignal): Promise<Page<Row>> {
  try {
    if (rows) return await get<Page<Row>>("/v1/tasks", { query: { view: "row", per_page: perPage, ...asked(f, now), cursor }, signal });
  } catch (err) {
    if (!(err instanceof Fault) || err.status !== 422 || err.field !== "view") throw err;
    rows = false;
  }
  const page = await get<Page<Row>>("/v1/tasks", { query: { per_page: perPage, ...asked(f, now), cursor }, signal });
  return { ...page, items: page.items.map((r) => ({ ...bare, ...r })) };
}

/** The counts, or null of a server that does not count. */
export async function readCounts(f: Filter, now: number, signal?: AbortSignal): Promise<Counts | null> {
  if (!rows) return null;
  try {
    return await get<Counts>("/v1/tasks/counts", { query: asked(anyStatus(f), now), signal });
  } catch (err) {
    if (err instanceof Fault && err.status === 404) return null;
    throw err;
  }
}
