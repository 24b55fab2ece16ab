import type { TaskEvent } from "../api/types";

export type Work = "wait" | "model" | "tool" | "child" | "pause";

/** A stretch of a task's time, in ms since its beginning. */
export interface Span {
  kind: Work;
  from: number;
  to: number;
}

export interface Lane {
  number: number;
  worker: string;
  from: number;
  to: number | null;
  lost: boolean;
}

export interface Mark {
  at: number;
  seq: number;
  words: string;
}

/** A task's turn as a ruler shows it. */
export interface Ruler {
  begun: number;
  spans: Span[];
  lanes: Lane[];
  marks: Mark[];
}

/**
 * Grows a ruler from the events of a turn. What a stretch was spent on is said by the event that ends it: a
 * thought or a piece of text was the agent's own (`model`), the time until a tool's result was the tool's.
 */
export class RulerOf {
  #ruler: Ruler = { begun: 0, spans: [], lanes: [], marks: [] };
  #at = 0;
  #doing: Work | "idle" = "wait";
  #tools = 0;
  #turn = 0;

  add(e: TaskEvent): void {
    const t = Date.parse(e.time);
    if (!Number.isFinite(t)) return;
    if (e.turn !== this.#turn) {
      this.#turn = e.turn;
      this.#ruler = { begun: t, spans: [], lanes: [], marks: [] };
      this.#at = 0;
      this.#doing = "wait";
      this.#tools = 0;
    }
    const now = Math.max(this.#at, t - this.#ruler.begun);
    const d = (e.data && typeof e.data === "object" ? e.data : {}) as Record<string, unknown>;
    const lane = this.#ruler.lanes.at(-1);
    switch (e.type) {
      case "attempt_started":
        this.#spend(now);
        this.#doing = "model";
        this.#ruler.lanes.push({ number: Number(d.attempt) || 1, worker: String(d.worker_id ?? ""), from: now, to: null, lost: false });
        break;
      case "attempt_lost":
        this.#spend(now);
        this.#doing = "wait";
        if (lane && lane.to === null) Object.assign(lane, { to: now, lost: true });
        this.#ruler.marks.push({ at: now, seq: e.id, words: "attempt lost" });
        break;
      case "tool_call_request":
        this.#spend(now);
        this.#tools++;
        this.#doing = "tool";
        break;
      case "tool_call_result":
        this.#spend(now);
        if (--this.#tools <= 0) {
          this.#tools = 0;
          this.#doing = "model";
        }
        break;
      case "sub_agent_trigger":
        this.#spend(now);
        this.#doing = "child";
        break;
      case "chunk":
      case "think":
      case "analyze":
      case "plan_updated":
        this.#spend(now);
        if (this.#tools === 0) this.#doing = "model";
        break;
      case "paused":
        this.#spend(now);
        this.#doing = "pause";
        break;
      case "resumed":
        this.#spend(now);
        this.#doing = lane && lane.to === null ? "model" : "wait";
        break;
      case "late_write_refused":
        this.#ruler.marks.push({ at: now, seq: e.id, words: "a late write was refused" });
        break;
      case "task_finished":
        this.#spend(now);
        this.#doing = "idle";
        if (lane && lane.to === null) lane.to = now;
        break;
    }
  }

  /** The ruler up to a moment, in ms since the epoch. */
  upTo(now: number): Ruler & { length: number } {
    const r = this.#ruler;
    const spans = [...r.spans];
    let length = Math.max(this.#at, ...r.lanes.map((l) => l.to ?? 0), 1);
    if (this.#doing !== "idle" && r.begun) {
      const t = Math.max(this.#at, now - r.begun);
      if (t > this.#at) put(spans, { kind: this.#doing, from: this.#at, to: t });
      length = Math.max(length, t);
    }
    return { ...r, spans, length };
  }

  #spend(now: number): void {
    if (now > this.#at && this.#doing !== "idle") put(this.#ruler.spans, { kind: this.#doing, from: this.#at, to: now });
    this.#at = now;
  }
}

function put(spans: Span[], s: Span): void {
  const last = spans.at(-1);
  if (last?.kind === s.kind && last.to === s.from) spans[spans.length - 1] = { ...last, to: s.to };
  else spans.push(s);
}

/** How long each kind of work took, the longest first. */
export function sums(spans: Span[]): [Work, number][] {
  const by = new Map<Work, number>();
  for (const s of spans) by.set(s.kind, (by.get(s.kind) ?? 0) + s.to - s.from);
  return [...by].filter(([, ms]) => ms >= 50).sort((a, b) => b[1] - a[1]);
}

/** What a ruler draws: stretches that would be thinner than a line are drawn as a part of the one before. */
export function drawn(spans: Span[], length: number): Span[] {
  const least = length / 400;
  const out: Span[] = [];
  for (const s of spans) {
    const last = out.at(-1);
    if (last && (s.to - s.from < least || last.kind === s.kind)) out[out.length - 1] = { ...last, to: s.to };
    else out.push(s);
  }
  return out;
}
