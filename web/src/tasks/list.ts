import { get, query } from "../api/client";
import { statuses, type Counts, type Page, type Row, type Status } from "../api/types";
import { age } from "../words";

/** What a list is asked for: it stands in the address, so that it can be sent to somebody. */
export interface Filter {
  status: Status[];
  agent: string;
  user: string;
  worker: string;
  end: string;
  since: string;
  roots: boolean;
}

/** The words of the filter box, as they stand in the address. */
const words = ["agent", "user", "worker", "end", "since"] as const;

export function filterOf(p: URLSearchParams): Filter {
  return {
    status: p.getAll("status").filter((s): s is Status => (statuses as readonly string[]).includes(s)),
    agent: p.get("agent") ?? "",
    user: p.get("user") ?? "",
    worker: p.get("worker") ?? "",
    end: p.get("end") ?? "",
    since: sinceMs(p.get("since")) ? (p.get("since") ?? "") : "",
    roots: p.get("roots") === "1",
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
  if (f.agent) q.agent_id = f.agent;
  if (f.user) q.user_id = f.user;
  if (f.worker) q.worker_id = f.worker;
  if (f.end) q.end_reason = f.end;
  if (f.since) q.from_date = new Date(now - sinceMs(f.since)).toISOString();
  if (f.roots) q.roots = "true";
  return q;
}

/**
 * The filter as a stream is asked for it: without its status, which the rows say themselves, so that the chips'
 * numbers are of the same list; and with its time to the minute, so that tabs may share it.
 */
export const watched = (f: Filter, now: number): string => query(asked(anyStatus(f), now - (now % 60_000))).slice(1);

/** Whether a row that is told of belongs to the list; null if only the server can say. */
export function matches(f: Filter, r: Row, exact: boolean, now: number): boolean | null {
  if (f.status.length && !f.status.includes(r.status)) return false;
  if (exact) return true;
  if (f.agent && r.agent_id !== f.agent) return false;
  if (f.user && r.user_id !== f.user) return false;
  if (f.worker && r.worker_id !== f.worker) return false;
  if (f.end && r.end_reason !== f.end) return false;
  if (f.roots && r.parent_task_id) return false;
  return !f.since || Date.parse(r.created_at) >= now - sinceMs(f.since);
}

/** The filter without its status: what the chips count. */
export const anyStatus = (f: Filter): Filter => ({ ...f, status: [] });

/** What the filter box shows of the filter. */
export function tokens(f: Filter): { name: string; value: string; say: string }[] {
  const out: { name: string; value: string; say: string }[] = [];
  for (const name of ["agent", "user", "worker", "end"] as const) if (f[name]) out.push({ name, value: f[name], say: f[name] });
  if (f.since) out.push({ name: "since", value: f.since, say: age(sinceMs(f.since)) });
  if (f.roots) out.push({ name: "roots", value: "1", say: "only" });
  return out;
}

/** Reads what somebody typed: tokens such as agent:x, and the words that are none. */
export function typed(text: string): { tokens: [string, string][]; rest: string } {
  const found: [string, string][] = [];
  const rest: string[] = [];
  for (const word of text.trim().split(/\s+/)) {
    const m = /^([a-z]+):(.+)$/.exec(word);
    if (m && (words as readonly string[]).includes(m[1] as string) && (m[1] !== "since" || sinceMs(m[2] as string))) found.push([m[1] as string, m[2] as string]);
    else if (word === "roots:only") found.push(["roots", "1"]);
    else if (word) rest.push(word);
  }
  return { tokens: found, rest: rest.join(" ") };
}

export const perPage = 50;

export const readRows = (f: Filter, now: number, cursor = "", signal?: AbortSignal): Promise<Page<Row>> =>
  get<Page<Row>>("/v1/tasks", { query: { view: "row", per_page: perPage, ...asked(f, now), cursor }, signal });

export const readCounts = (f: Filter, now: number, signal?: AbortSignal): Promise<Counts> =>
  get<Counts>("/v1/tasks/counts", { query: asked(anyStatus(f), now), signal });
