import type { Plan, Status, TaskEvent } from "../api/types";

/** A line of a task's outline: where in its log something began, and how it stands. */
export interface Line {
  /** The number of the event with which it began. */
  seq: number;
  /** 0 of a turn, 1 of an attempt, 2 of what was done in one. */
  depth: 0 | 1 | 2;
  status: Status | "needs";
  words: string;
  from: string;
  /** When it ended, "" while it goes on. */
  to: string;
}

type Data = Record<string, unknown>;
const str = (v: unknown): string => (typeof v === "string" ? v : "");

/** Grows a task's outline from its events: its turns, their attempts, and the steps, sub-tasks, questions and troubles in them. */
export class OutlineOf {
  readonly lines: Line[] = [];
  /** Where what goes on stands among the lines, by what ends it. */
  readonly #open = new Map<string, number>();
  #plan = "";

  add(e: TaskEvent): void {
    const d = (e.data && typeof e.data === "object" ? e.data : {}) as Data;
    switch (e.type) {
      case "task_created":
        return this.#begin("turn", e, 0, `Turn ${e.turn}: ${firstLine(str((d.input as Data | undefined)?.text)) || "no words"}`);
      case "task_updated":
        return d.status === "pending" ? this.#let(e, "pending") : undefined;
      case "task_finished":
        this.#let(e, d.status as Status);
        return this.#end("turn", e, d.status as Status);
      case "attempt_started":
        this.#let(e, "pending");
        return this.#begin("attempt", e, 1, `Attempt ${Number(d.attempt) || 1}${str(d.worker_id) && ` on ${str(d.worker_id)}`}`);
      case "attempt_lost":
        return this.#let(e, "failed");
      case "plan_updated":
        return this.#planned(e, (d as unknown as Plan).tasks);
      case "step":
        return this.#once(e, "completed", str(d.name) || "Step");
      case "sub_agent_trigger":
        return this.#begin(str(d.task_id), e, 2, firstLine(str(d.query)) || `Sub-task of ${str(d.agent_id)}`);
      case "subtask_finished":
        return this.#end(str(d.task_id), e, d.status as Status);
      case "approval_requested":
        return this.#begin(`ask ${str(d.id)}`, e, 2, str(d.title) || firstLine(str(d.message)), "needs");
      case "approval_answered":
        return this.#end(`ask ${str(d.id)}`, e, d.answer === "decline" ? "stopped" : "completed");
      case "tool_call_result":
        return d.is_error === true ? this.#once(e, "failed", `${str(d.tool_name) || str(d.operation_id) || "A tool"} failed`) : undefined;
      case "late_write_refused":
        return this.#once(e, "error", "A late write was refused");
      case "stop_requested":
        return this.#once(e, "stopped", "Stop asked");
    }
  }

  /** What was planned is a step while it is the next that is not done. */
  #planned(e: TaskEvent, tasks: Plan["tasks"] | undefined): void {
    if (!Array.isArray(tasks)) return;
    const now = tasks.find((t) => !t.completed)?.title ?? "";
    if (now === this.#plan) return;
    this.#end("plan", e, "completed");
    this.#plan = now;
    if (now) this.#begin("plan", e, 2, now);
  }

  /** The attempt is over, and so is what it was at. */
  #let(e: TaskEvent, status: Status): void {
    this.#end("plan", e, status);
    this.#plan = "";
    this.#end("attempt", e, status);
  }

  #begin(key: string, e: TaskEvent, depth: Line["depth"], words: string, status: Line["status"] = "executing"): void {
    this.#open.set(key, this.lines.push({ seq: e.id, depth, status, words, from: e.time, to: "" }) - 1);
  }

  #end(key: string, e: TaskEvent, status: Status): void {
    const at = this.#open.get(key);
    if (at === undefined) return;
    this.#open.delete(key);
    this.lines[at] = { ...(this.lines[at] as Line), status, to: e.time };
  }

  #once(e: TaskEvent, status: Status, words: string): void {
    this.lines.push({ seq: e.id, depth: 2, status, words, from: e.time, to: e.time });
  }
}

const firstLine = (text: string): string => (text.trim().split("\n", 1)[0] ?? "").slice(0, 200);
