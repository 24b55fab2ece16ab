import { get } from "../api/client";
import type { Series } from "../parts/plot";
import { span } from "../words";

export interface Spread { count: number; p50: number; p95: number; p99: number }
export interface Sums { created: number; ended: Record<string, number>; tokens: number; cost: number; start_wait: Spread; run: Spread }
export interface Stats {
  from: string;
  to: string;
  step: number;
  steps: (Sums & { at: string; waiting: number | null })[];
  total: Sums;
  by: (Sums & { id: string })[];
}

/** The times that can be looked at: how long each is, and its steps, in seconds. */
export const ranges = { "15m": [900, 60], "1h": [3600, 60], "24h": [86_400, 1800], "7d": [604_800, 10_800], "30d": [2_592_000, 86_400] } as const;
export type Range = keyof typeof ranges;

export const rangeOf = (text: string | null): Range => (text && text in ranges ? (text as Range) : "1h");

/** Reads what happened in a time up to now. */
export function readStats(range: Range, now: number, agent = ""): Promise<Stats> {
  const [length, step] = ranges[range];
  return get<Stats>("/v1/stats", { query: { from: new Date(now - length * 1000).toISOString(), step, agent_id: agent } });
}

/** The end reasons of each kind of end. */
const reasons = {
  completed: ["completed"],
  stopped: ["stopped"],
  failed: ["failed", "schema_mismatch", "budget"],
  error: ["worker_error", "worker_lost", "timeout", "expired"],
} as const;
export type Ends = keyof typeof reasons;

/** How many ended so. */
export const ends = (s: Sums, of: Ends): number => reasons[of].reduce((n, r) => n + (s.ended[r] ?? 0), 0);
export const allEnds = (s: Sums): number => Object.values(s.ended).reduce((n, m) => n + m, 0);
export const wentWrong = (s: Sums): number => ends(s, "failed") + ends(s, "error");

/** How many ended in each step, what is worst on top. */
export const endSeries = (s: Stats): Series[] => (Object.keys(reasons) as Ends[]).map((of) => ({ name: of, tone: of, values: s.steps.map((x) => ends(x, of)) }));

/** How long tasks were ready before they started. */
export const waitSeries = (s: Stats): Series[] =>
  (["p50", "p95", "p99"] as const).map((p) => ({ name: p, tone: p, says: s.total.start_wait.count ? seconds(s.total.start_wait[p]) : "", values: s.steps.map((x) => (x.start_wait.count ? x.start_wait[p] : null)) }));

export const waitingSeries = (s: Stats): Series[] => [{ name: "waiting", tone: "waiting", values: s.steps.map((x) => x.waiting) }];
export const tokenSeries = (s: Stats): Series[] => [{ name: "tokens", tone: "tokens", values: s.steps.map((x) => x.tokens) }];

/** A length in seconds, as people say it. */
export const seconds = (s: number): string => span(s * 1000).replace(/(?<= [mh]) 00 [ms]$/, "").replace(".0 s", " s");

/** A step's length in words. */
export const stepWord = (s: number): string => ({ 60: "a minute", 1800: "half an hour", 10_800: "three hours", 86_400: "a day" })[s] ?? `${s} s`;

/** A large number in few letters. */
export function brief(n: number): string {
  for (const [unit, word] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]] as const) if (n >= unit) return `${+(n / unit).toFixed(n < 10 * unit ? 1 : 0)} ${word}`;
  return String(Math.round(n));
}
