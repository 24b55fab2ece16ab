import { expect, test } from "vitest";
import type { TaskEvent } from "../api/types";
import { OutlineOf } from "./outline";

function outline(...events: [string, unknown?, number?][]): string[] {
  const o = new OutlineOf();
  for (const [i, [type, data = {}, turn = 1]] of events.entries()) o.add({ id: i + 1, type, task_id: "t", turn, time: new Date(Date.UTC(2026, 10, 29, 11, 0, i)).toISOString(), author: {}, data });
  return o.lines.map((l) => `${"  ".repeat(l.depth)}${l.seq} ${l.words}: ${l.status}${l.to ? "" : "…"}`);
}
const plan = (done: number): unknown => ({ tasks: ["Read", "Sum up"].map((title, i) => ({ title, completed: i < done })) });

test("turns, attempts and what was done in them stand below one another, with how they ended", () => {
  expect(outline(
    ["task_created", { input: { text: "Do it\nwell" } }], ["attempt_started", { attempt: 1, worker_id: "w-1" }], ["plan_updated", plan(0)], ["chunk", "x"], ["attempt_lost"],
    ["attempt_started", { attempt: 2, worker_id: "w-2" }], ["plan_updated", plan(1)], ["sub_agent_trigger", { task_id: "s", query: "look" }], ["tool_call_result", { tool_name: "sql", is_error: true }],
    ["tool_call_result", { tool_name: "sql" }], ["step", { name: "paid" }], ["approval_requested", { id: "a", title: "Send?" }], ["subtask_finished", { task_id: "s", status: "error" }],
    ["approval_answered", { id: "a", answer: "approve" }], ["plan_updated", plan(2)], ["task_finished", { status: "completed" }],
    ["task_created", { input: { text: "More" } }, 2], ["attempt_started", { attempt: 1, worker_id: "w-2" }, 2],
  )).toEqual([
    "1 Turn 1: Do it: completed", "  2 Attempt 1 on w-1: failed", "    3 Read: failed",
    "  6 Attempt 2 on w-2: completed", "    7 Sum up: completed", "    8 look: error", "    9 sql failed: failed", "    11 paid: completed", "    12 Send?: completed",
    "17 Turn 2: More: executing…", "  18 Attempt 1 on w-2: executing…",
  ]);
});

test("an attempt that gives its task up until something happens waits, and a question needs somebody until it is answered", () => {
  expect(outline(["task_created"], ["attempt_started", { attempt: 1 }], ["task_updated", { status: "pending" }])).toEqual(["1 Turn 1: no words: executing…", "  2 Attempt 1: pending"]);
  expect(outline(["approval_requested", { id: "a", message: "Which?" }])).toEqual(["    1 Which?: needs…"]);
});
