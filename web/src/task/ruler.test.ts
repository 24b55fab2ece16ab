import { expect, test } from "vitest";
import type { TaskEvent } from "../api/types";
import { drawn, RulerOf, sums } from "./ruler";

const begun = Date.UTC(2026, 10, 29, 11);
let id = 0;
const at = (s: number, type: string, data: unknown = {}, turn = 1): TaskEvent => ({ id: ++id, type, task_id: "t", turn, time: new Date(begun + s * 1000).toISOString(), author: {}, data });

test("a turn's time is told apart by what it was spent on", () => {
  const r = new RulerOf();
  for (const e of [
    at(0, "task_created"), at(5, "attempt_started", { attempt: 1, worker_id: "w" }), at(8, "think"), at(9, "tool_call_request"), at(12, "tool_call_result"),
    at(13, "chunk"), at(20, "attempt_lost"), at(30, "attempt_started", { attempt: 2, worker_id: "v" }), at(31, "late_write_refused"), at(40, "task_finished"), at(50, "stop_confirmed"),
  ]) r.add(e);
  const whole = r.upTo(begun + 99_000);
  expect(whole.length).toBe(40_000);
  expect(whole.spans.map((s) => [s.kind, (s.to - s.from) / 1000])).toEqual([["wait", 5], ["model", 4], ["tool", 3], ["model", 8], ["wait", 10], ["model", 10]]);
  expect(whole.lanes).toMatchObject([{ number: 1, from: 5000, to: 20_000, lost: true }, { number: 2, worker: "v", from: 30_000, to: 40_000, lost: false }]);
  expect(whole.marks.map((m) => m.at)).toEqual([20_000, 31_000]);
  expect(sums(whole.spans)).toEqual([["model", 22_000], ["wait", 15_000], ["tool", 3000]]);
  expect(whole.spans.reduce((n, s) => n + s.to - s.from, 0)).toBe(40_000);
});

test("what runs has no end yet, and another turn begins anew", () => {
  const r = new RulerOf();
  r.add(at(0, "task_created"));
  r.add(at(2, "attempt_started", { attempt: 1 }));
  expect(r.upTo(begun + 10_000)).toMatchObject({ length: 10_000, lanes: [{ to: null }], spans: [{ kind: "wait" }, { kind: "model", to: 10_000 }] });
  r.add(at(60, "task_created", {}, 2));
  expect(r.upTo(begun + 61_000)).toMatchObject({ length: 1000, lanes: [], spans: [{ kind: "wait" }] });
});

test("thin stretches do not vanish, nor make thousands of elements", () => {
  const spans = Array.from({ length: 10_000 }, (_, i) => ({ kind: i % 2 ? ("tool" as const) : ("model" as const), from: i, to: i + 1 }));
  const few = drawn(spans, 10_000);
  expect(few.length).toBeLessThan(401);
  expect(few.at(-1)?.to).toBe(10_000);
});
