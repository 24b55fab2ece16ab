/** A line or the bars of one colour in a plot: a value for each step, null for none. */
export interface Series {
  name: string;
  tone: string;
  /** What stands beside its name. */
  says?: string;
  values: (number | null)[];
}

/** Where values stand: from 0 at the bottom to 1 at the top, with lines at some of them. */
export interface Scale {
  ticks: number[];
  at: (value: number) => number;
}

/** The next number like 1, 2, 4, 5 or 10 of any size. */
function round(n: number): number {
  const unit = 10 ** Math.floor(Math.log10(n));
  return ([1, 2, 4, 5].find((x) => n <= x * unit * 1.000001) ?? 10) * unit;
}

/** A scale from 0 on with three parts, or one for each where there are few. */
export function linear(most: number): Scale {
  const part = Math.max(1, round(Math.max(most, 1) / 3));
  const parts = Math.max(1, Math.ceil(most / part));
  return { ticks: Array.from({ length: parts + 1 }, (_, i) => i * part), at: (v) => v / (parts * part) };
}

/** Lengths in seconds between which people tell apart. */
const lengths = [0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 36_000, 360_000, 3_600_000];

/** A scale of lengths in seconds, on which ten times as long is as far everywhere. */
export function ofLengths(most: number): Scale {
  const top = Math.max(3, lengths.findIndex((s) => s >= most) % lengths.length);
  const last = lengths[top] as number;
  const by = Math.ceil(top / 4);
  const far = Math.log10(last / 0.001);
  return {
    ticks: lengths.slice(0, top + 1).filter((_, i) => (top - i) % by === 0),
    at: (v) => Math.max(0, Math.log10(Math.max(v, 0.001) / 0.001) / far),
  };
}

/** The values of bars as they stand on one another: from where to where each goes. */
export function stacked(series: Series[]): { from: number; to: number }[][] {
  const sums: number[] = [];
  return series.map((s) =>
    s.values.map((v, i) => {
      const from = sums[i] ?? 0;
      const to = from + (v ?? 0);
      sums[i] = to;
      return { from, to };
    }),
  );
}

/** The path of a line through the points that are there; one between gaps is no line: see alone. */
export function path(values: (number | null)[], x: (i: number) => number, y: (v: number) => number): string {
  let text = "";
  values.forEach((v, i) => {
    if (v === null) return;
    const before = values[i - 1] ?? null;
    text += `${before === null ? "M" : "L"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
  });
  return text;
}

/** The points between gaps, which a line does not show. */
export const alone = (values: (number | null)[]): number[] =>
  values.flatMap((v, i) => (v !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null ? [i] : []));
