import type { Plan, Status, TaskEvent, Tokens } from "../api/types";
import { statusWord } from "../words";

/** An entry of a task's story: one event, or several that belong together. */
export type Item = {
  /** The number of its first event, which names it. */
  seq: number;
  /** The number of its last event so far. */
  to: number;
  at: string;
  turn: number;
} & Kind;

export type Kind =
  | { kind: "ask"; by: string; text: string; files: string[] }
  | { kind: "text"; attempt: number; text: string; pieces: number; void: boolean }
  | { kind: "think"; title: string; text: string }
  | { kind: "tool"; id: string; name: string; why: string; input: unknown; output: unknown; state: "open" | "good" | "bad"; until: string }
  | { kind: "child"; agent: string; task: string; query: string; status: Status | ""; until: string }
  | { kind: "quiet"; words: string; what: string; more: number }
  | { kind: "plan"; done: number; total: number; now: string }
  | { kind: "note"; tone: "lost" | "refused" | "hold" | "stop" | "person" | "bad"; title: string; words: string; struck: string }
  | { kind: "message"; by: string; text: string }
  | { kind: "output"; name: string; size: number }
  | { kind: "end"; status: Status; reason: string; words: string; result: string };

export type ItemOf<K extends Kind["kind"]> = Extract<Item, { kind: K }>;

/** What the log says of the task as a whole. */
export interface Fold {
  status: Status | "";
  endReason: string;
  internal: string;
  title: string;
  result: string;
  turn: number;
  attempt: number;
  worker: string;
  tokens: Tokens | null;
  plan: Plan | null;
  startedAt: string;
  finishedAt: string;
  stop: "" | "asked" | "confirmed" | "abandoned";
  stopBy: string;
  stopAt: string;
  stopEndedAt: string;
  /** Those of this turn. */
  attempts: Attempt[];
  /** How often people were asked in this turn, and how often one has answered. */
  asked: number;
  told: number;
  /** How many files it has written. */
  outputs: number;
  /** Of how many files it was told what its agent was given. */
  given: number;
}

export interface Attempt {
  number: number;
  worker: string;
  from: string;
  to: string;
  how: "" | "lost" | "ended";
}

type Data = Record<string, unknown>;

const str = (v: unknown): string => (typeof v === "string" ? v : "");
const num = (v: unknown): number => (typeof v === "number" ? v : 0);
const obj = (v: unknown): Data => (v && typeof v === "object" && !Array.isArray(v) ? (v as Data) : {});

/**
 * The fold of a task's events: every event once and in order, the story that they tell, and where the
 * task stands. It is the same however the events were cut into pieces on their way.
 */
export class Log {
  readonly events: TaskEvent[] = [];
  readonly items: Item[] = [];
  readonly fold: Fold = {
    status: "", endReason: "", internal: "", title: "", result: "", turn: 0, attempt: 0, worker: "", tokens: null, plan: null,
    startedAt: "", finishedAt: "", stop: "", stopBy: "", stopAt: "", stopEndedAt: "", attempts: [], asked: 0, told: 0, outputs: 0, given: 0,
  };
  readonly #tools = new Map<string, number>();

  /** The number of the last event; where a stream is to go on. */
  get last(): number {
    return this.events.at(-1)?.id ?? 0;
  }

  /** Every chunk's text, joined. */
  get text(): string {
    return this.events.reduce((all, e) => (e.type === "chunk" ? all + str(e.data) : all), "");
  }

  /**
   * Takes an event. One that was taken before is left out; if there is a gap before it, nothing is
   * taken, and the log must be read on from `last`.
   */
  add(e: TaskEvent): "taken" | "old" | "gap" {
    if (e.id <= this.last) return "old";
    if (this.events.length > 0 && e.id !== this.last + 1) return "gap";
    this.events.push(e);
    this.#tell(e);
    return "taken";
  }

  #push(e: TaskEvent, kind: Kind): number {
    return this.items.push({ seq: e.id, to: e.id, at: e.time, turn: e.turn, ...kind } as Item) - 1;
  }

  #change<K extends Kind["kind"]>(at: number, e: TaskEvent, change: Partial<ItemOf<K>>): void {
    this.items[at] = { ...(this.items[at] as Item), to: e.id, ...change } as Item;
  }

  #tell(e: TaskEvent): void {
    const d = obj(e.data);
    switch (e.type) {
      case "chunk":
        return this.#chunk(e, str(e.data));
      case "task_created":
        this.#state(d);
        this.#ask(e, d);
        return;
      case "task_updated":
        return this.#updated(e, d);
      case "task_finished":
        return this.#finished(e, d);
      case "override":
        this.#state(d);
        this.#push(e, { kind: "note", tone: "person", title: "Corrected after the end", words: d.by ? `by ${str(d.by)}` : by(e), struck: "" });
        return;
      case "attempt_started":
        return this.#attempt(e, d);
      case "attempt_lost":
        return this.#lost(e, d);
      case "late_write_refused":
        return this.#refused(e, d);
      case "stop_requested":
        Object.assign(this.fold, { stop: "asked", stopBy: str(d.by) || by(e), stopAt: e.time });
        this.#push(e, { kind: "note", tone: "stop", title: "Stop asked", words: `by ${str(d.by) || by(e)}. Whatever the worker still writes is refused.`, struck: "" });
        return;
      case "stop_confirmed":
        Object.assign(this.fold, { stop: "confirmed", stopEndedAt: e.time });
        this.#push(e, { kind: "note", tone: "stop", title: `Stop confirmed after ${seconds(this.fold.stopAt, e.time)}`, words: "The worker has let go.", struck: "" });
        return;
      case "stop_abandoned":
        Object.assign(this.fold, { stop: "abandoned", stopEndedAt: e.time });
        this.#push(e, { kind: "note", tone: "bad", title: "Stop never confirmed", words: `The worker did not answer for ${seconds(this.fold.stopAt, e.time)}. Its writes are refused, but it may still run.`, struck: "" });
        return;
      case "paused":
        this.#push(e, { kind: "note", tone: "hold", title: "Paused", words: `by ${by(e)}`, struck: "" });
        return;
      case "resumed":
        this.#push(e, { kind: "quiet", what: "resumed", words: `Resumed by ${by(e)}`, more: 0 });
        return;
      case "budget_warning":
        this.#push(e, { kind: "note", tone: "hold", title: "The budget runs out", words: brief(e.data), struck: "" });
        return;
      case "approval_requested":
        this.fold.asked++;
        this.#push(e, { kind: "note", tone: "person", title: str(d.title) || "Asks for a decision", words: str(d.message), struck: "" });
        return;
      case "approval_answered":
        this.fold.told++;
        this.#push(e, {
          kind: "note", tone: "person", struck: "", words: str(d.note),
          title: d.by_default === true ? "Nobody answered in time, so the default counts." : `${(str(d.by) || by(e)).replace(/^(key|user):? ?/, "")} ${d.answer === "decline" ? "declined" : d.answer === "approve" ? "approved" : "answered"}.`,
        });
        return;
      case "tool_call_request":
        return this.#called(e, d);
      case "tool_call_result":
        return this.#came(e, d);
      case "think":
      case "analyze":
        return this.#thought(e, d);
      case "plan_updated":
        return this.#planned(e, d);
      case "sub_agent_trigger":
        this.#push(e, { kind: "child", agent: str(d.agent_id), task: str(d.task_id), query: str(d.query), status: "", until: "" });
        return;
      case "subtask_finished":
        return this.#returned(e, d);
      case "agent_message":
        this.#push(e, { kind: "message", by: e.author.attempt ? "the agent" : by(e), text: brief(e.data) });
        return;
      case "task_compactization":
        return this.#compacted(e, d);
      case "output":
        this.fold.outputs++;
        this.#push(e, { kind: "output", name: str(d.name), size: num(d.size) });
        return;
      case "file_given":
        this.fold.given++;
        this.#quiet(e, "file", d.failed ? `Could not read ${str(d.name)}: ${str(d.failed)}` : `Was given ${str(d.name)}`);
        return;
      case "step":
        this.#quiet(e, "step", `Step ${str(d.name) || brief(e.data)} is done`);
        return;
      case "auth_event":
        this.#quiet(e, "auth", "Asked to sign in at a tool's provider");
        return;
      default:
        this.#quiet(e, e.type, sentence(e.type));
    }
  }

  #chunk(e: TaskEvent, text: string): void {
    const at = this.items.length - 1;
    const last = this.items[at];
    const attempt = e.author.attempt ?? 0;
    if (last?.kind === "text" && last.attempt === attempt && last.turn === e.turn && !last.void) {
      const [whole, rest] = parted(last.text + text);
      this.#change<"text">(at, e, { text: whole, pieces: last.pieces + 1 });
      if (rest) this.#push(e, { kind: "text", attempt, text: rest, pieces: 1, void: false });
    } else if (text) {
      this.#push(e, { kind: "text", attempt, text, pieces: 1, void: false });
    }
  }

  #ask(e: TaskEvent, d: Data): void {
    const input = obj(d.input);
    this.fold.turn = e.turn;
    Object.assign(this.fold, { stop: "", stopBy: "", stopAt: "", stopEndedAt: "", attempts: [] });
    this.#push(e, {
      kind: "ask", by: by(e), text: str(input.text),
      files: Array.isArray(input.files) ? input.files.filter((f): f is string => typeof f === "string") : [],
    });
  }

  #state(d: Data): void {
    const f = this.fold;
    if ("status" in d) f.status = str(d.status) as Status;
    if ("end_reason" in d) f.endReason = str(d.end_reason);
    if ("internal_status" in d) f.internal = str(d.internal_status);
    if ("title" in d) f.title = str(d.title);
    if ("result" in d) f.result = str(d.result);
    if ("worker_id" in d) f.worker = str(d.worker_id);
    if ("attempt" in d) f.attempt = num(d.attempt);
    if ("tokens" in d) f.tokens = d.tokens as Tokens | null;
    if ("started_at" in d) f.startedAt = str(d.started_at);
    if ("finished_at" in d) f.finishedAt = str(d.finished_at);
    if ("deep_planning" in d) f.plan = d.deep_planning as Plan | null;
  }

  #updated(e: TaskEvent, d: Data): void {
    const before = this.fold.internal;
    this.#state(d);
    if ("internal_status" in d && this.fold.internal && this.fold.internal !== before) this.#quiet(e, "internal", this.fold.internal);
    if ("status" in d && d.status === "pending" && this.items.at(-1)?.kind !== "note") this.#quiet(e, "pending", "Waits again");
  }

  /** A line of small things. It never cuts the text that runs below it in two. */
  #quiet(e: TaskEvent, what: string, words: string): void {
    const end = this.items.length - 1;
    const running = this.items[end]?.kind === "text";
    const at = running ? end - 1 : end;
    const last = this.items[at];
    if (last?.kind === "quiet" && last.what === what && last.turn === e.turn) {
      this.#change<"quiet">(at, e, { words, more: last.more + 1 });
      return;
    }
    this.#push(e, { kind: "quiet", what, words, more: 0 });
    if (running) {
      const [line] = this.items.splice(end + 1, 1);
      this.items.splice(end, 0, line as Item);
      this.#moved();
    }
  }

  /** Finds the open calls of tools again after a line was put before one. */
  #moved(): void {
    for (const [id, at] of this.#tools) {
      const item = this.items[at];
      if (item?.kind === "tool" && item.id === id) continue;
      const now = this.items.findIndex((x) => x.kind === "tool" && x.id === id && x.state === "open");
      if (now < 0) this.#tools.delete(id);
      else this.#tools.set(id, now);
    }
  }

  #finished(e: TaskEvent, d: Data): void {
    this.#state(d);
    const run = this.fold.attempts.at(-1);
    if (run && !run.to) Object.assign(run, { to: e.time, how: "ended" });
    const status = this.fold.status as Status;
    this.#push(e, { kind: "end", status, reason: this.fold.endReason, words: status === "completed" || status === "stopped" ? "" : this.fold.result, result: this.fold.result });
  }

  #attempt(e: TaskEvent, d: Data): void {
    this.fold.attempt = num(d.attempt);
    this.fold.worker = str(d.worker_id);
    this.fold.attempts.push({ number: num(d.attempt), worker: str(d.worker_id), from: e.time, to: "", how: "" });
    this.#push(e, { kind: "quiet", what: "attempt", words: `Attempt ${num(d.attempt)} began on ${str(d.worker_id)}`, more: 0 });
  }

  #lost(e: TaskEvent, d: Data): void {
    const run = this.fold.attempts.at(-1);
    if (run && !run.to) Object.assign(run, { to: e.time, how: "lost" });
    this.#push(e, {
      kind: "note", tone: "lost", title: `Attempt ${num(d.attempt)} is over.`,
      words: `${sentence(str(d.reason) || "its worker was lost")}, worker ${str(d.worker_id)}. What it had done is kept.`, struck: "",
    });
  }

  #refused(e: TaskEvent, d: Data): void {
    const status = str(d.refused_status);
    this.#push(e, {
      kind: "note", tone: "refused",
      title: status ? `Refused: a late end as ${status}.` : "Refused: a late write.",
      words: `Worker ${str(d.worker_id)} (run attempt ${num(d.execution_attempt)}) came back too late. Nothing of it counts.`,
      struck: str(d.refused_result),
    });
  }

  #called(e: TaskEvent, d: Data): void {
    const id = str(d.request_id) || `e${e.id}`;
    const reasoning = obj(d.reasoning);
    const at = this.#push(e, {
      kind: "tool", id, name: str(d.tool_name) || str(d.operation_id) || "tool", why: str(reasoning.title),
      input: d.payload ?? null, output: null, state: "open", until: "",
    });
    this.#tools.set(id, at);
  }

  #came(e: TaskEvent, d: Data): void {
    const id = str(d.request_id);
    const state = d.is_error === true ? "bad" : "good";
    const at = this.#tools.get(id);
    if (at !== undefined) {
      this.#tools.delete(id);
      this.#change<"tool">(at, e, { output: d.result ?? null, state, until: e.time });
      return;
    }
    this.#push(e, {
      kind: "tool", id, name: str(d.tool_name) || str(d.operation_id) || "tool", why: "",
      input: d.payload ?? null, output: d.result ?? null, state, until: e.time,
    });
  }

  /** A sub-task has ended: where it was begun says how, and a line does if its beginning is not there. */
  #returned(e: TaskEvent, d: Data): void {
    const status = str(d.status) as Status;
    const at = this.items.findLastIndex((i) => i.kind === "child" && i.task === str(d.task_id) && !i.status);
    if (at < 0) this.#quiet(e, "child", `A sub-task of ${str(d.agent_id)} ended: ${(statusWord[status] ?? status).toLowerCase()}`);
    else this.#change<"child">(at, e, { status, until: e.time });
  }

  #thought(e: TaskEvent, d: Data): void {
    const text = str(d.thought) || str(d.analysis) || str(d.result) || str(d.action);
    const title = str(d.title);
    const at = this.items.length - 1;
    const last = this.items[at];
    if (last?.kind === "think" && last.title === title && last.turn === e.turn) {
      this.#change<"think">(at, e, { text: last.text + text });
      return;
    }
    this.#push(e, { kind: "think", title, text });
  }

  #planned(e: TaskEvent, d: Data): void {
    const plan = d as unknown as Plan;
    if (!Array.isArray(plan.tasks)) return;
    this.fold.plan = plan;
    const done = plan.tasks.filter((t) => t.completed).length;
    const now = plan.tasks.find((t) => !t.completed)?.title ?? "";
    const at = this.items.length - 1;
    if (this.items[at]?.kind === "plan") this.#change<"plan">(at, e, { done, total: plan.tasks.length, now });
    else this.#push(e, { kind: "plan", done, total: plan.tasks.length, now });
  }

  #compacted(e: TaskEvent, d: Data): void {
    if (str(d.type) !== "retry") {
      this.#quiet(e, e.type, "What was said before was made shorter");
      return;
    }
    const attempt = e.author.attempt ?? 0;
    for (const [at, item] of this.items.entries()) {
      if (item.kind === "text" && item.turn === e.turn && item.attempt === attempt) this.items[at] = { ...item, void: true };
    }
    this.#push(e, { kind: "note", tone: "hold", title: "The answer begins again.", words: "What was said so far is void.", struck: "" });
  }
}

/** How long a text may be of which each piece that comes draws the whole. */
const longest = 16_000;

/** Parts a text that has become long behind its last paragraph, or word if that is too long itself, but not within a block of code. */
function parted(text: string): [string, string] {
  if (text.length < longest) return [text, ""];
  let at = text.lastIndexOf("\n\n") + 2;
  if (at < longest && text.length > 2 * longest) at = text.lastIndexOf(" ") + 1;
  if (at < longest || (text.slice(0, at).match(/^ {0,3}(```|~~~)/gm)?.length ?? 0) % 2) return [text, ""];
  return [text.slice(0, at), text.slice(at)];
}

/** A story to be shown: runs of good calls of tools are folded behind their first. */
export type Shown = Item | { kind: "tools"; seq: number; to: number; at: string; turn: number; tools: ItemOf<"tool">[] };

/** How many calls in a row are worth a fold. */
const run = 4;

/** Folds runs of good calls of tools; those in `open` (by the number of their first) are left as they are. */
export function shown(items: readonly Item[], open: ReadonlySet<number>): Shown[] {
  const out: Shown[] = [];
  for (let i = 0; i < items.length; ) {
    let end = i;
    while (end < items.length && good(items[end] as Item)) end++;
    if (end - i < run) {
      out.push(items[i] as Item);
      i++;
      continue;
    }
    const tools = items.slice(i + 1, end) as ItemOf<"tool">[];
    const first = tools[0] as ItemOf<"tool">;
    out.push(items[i] as Item);
    if (open.has(first.seq)) out.push(...tools);
    else out.push({ kind: "tools", seq: first.seq, to: (tools.at(-1) as Item).to, at: first.at, turn: first.turn, tools });
    i = end;
  }
  return out;
}

const good = (i: Item): boolean => i.kind === "tool" && i.state === "good";

/** Who wrote an event, in words. */
export function by(e: TaskEvent): string {
  if (e.author.attempt) return `attempt ${e.author.attempt}`;
  return (e.author.by ?? "").replace(/^key /, "") || "somebody";
}

/** A text of any data, for where there is no form for it. */
export function brief(data: unknown): string {
  if (typeof data === "string") return data;
  const d = obj(data);
  for (const name of ["message", "text", "content"]) if (str(d[name])) return str(d[name]);
  return JSON.stringify(data ?? null);
}

const sentence = (words: string): string => {
  const text = words.replaceAll("_", " ").trim();
  return text.charAt(0).toUpperCase() + text.slice(1);
};

function seconds(from: string, to: string): string {
  const ms = Date.parse(to) - Date.parse(from);
  return Number.isFinite(ms) ? `${(Math.max(0, ms) / 1000).toFixed(1)} s` : "a while";
}

/** What was said, without how it came about: questions, answers, and what a turn without words ended with. */
export function chat(items: readonly Item[]): Item[] {
  const out: Item[] = [];
  let said = false;
  for (const i of items) {
    if (i.kind === "ask") said = false;
    if (i.kind === "text") said ||= !i.void;
    if (i.kind === "ask" || i.kind === "message" || i.kind === "output" || (i.kind === "text" && !i.void) || (i.kind === "note" && i.tone === "person")) out.push(i);
    else if (i.kind === "end" && (i.status !== "completed" || (!said && i.result))) out.push(i.status === "completed" ? { seq: i.seq, to: i.to, at: i.at, turn: i.turn, kind: "text", attempt: 0, text: i.result, pieces: 1, void: false } : i);
  }
  return out;
}
