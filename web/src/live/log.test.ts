import { describe, expect, test } from "vitest";
import type { TaskEvent } from "../api/types";
import { chat, Log, shown, type Item } from "./log";
import { retryIn } from "./stream";

let seq = 0;
const at = (s: number): string => new Date(Date.UTC(2026, 10, 29, 11, 0, s)).toISOString();
function event(type: string, data: unknown, author: TaskEvent["author"] = { attempt: 1 }): TaskEvent {
  seq++;
  return { id: seq, type, task_id: "t", turn: 1, time: at(seq), author, data };
}
function logOf(...events: [string, unknown, TaskEvent["author"]?][]): Log {
  seq = 0;
  const log = new Log();
  for (const [type, data, author] of events) expect(log.add(event(type, data, author))).toBe("taken");
  return log;
}
const kinds = (items: readonly { kind: string }[]): string => items.map((i) => i.kind).join(" ");

describe("a log", () => {
  test("takes each event once, and none behind a gap", () => {
    const log = logOf(["chunk", "a"], ["chunk", "b"]);
    expect(log.add({ ...event("chunk", "x"), id: 2 })).toBe("old");
    expect(log.add({ ...event("chunk", "x"), id: 9 })).toBe("gap");
    expect(log.add({ ...event("chunk", "c"), id: 3 })).toBe("taken");
    expect(log.text).toBe("abc");
    expect(log.last).toBe(3);
  });

  test("joins pieces of text, and small changes do not cut it", () => {
    const log = logOf(
      ["task_created", { input: { text: "do", files: ["f"] }, status: "pending" }, { by: "key anna" }],
      ["attempt_started", { attempt: 1, worker_id: "w-1" }],
      ["chunk", "| a |"],
      ["task_updated", { internal_status: "Half" }],
      ["chunk", " b |"],
      ["task_updated", { internal_status: "Nearly" }],
      ["chunk", "\n"],
      ["task_finished", { status: "completed", end_reason: "completed", result: "x" }],
    );
    expect(kinds(log.items)).toBe("ask quiet quiet text end");
    expect(log.items[3]).toMatchObject({ text: "| a | b |\n", pieces: 3 });
    expect(log.items[2]).toMatchObject({ words: "Nearly", more: 1 });
    expect(log.items[0]).toMatchObject({ by: "anna", text: "do", files: ["f"] });
    expect(log.fold).toMatchObject({ status: "completed", worker: "w-1" });
  });

  test("joins calls of tools with what came of them, also past lines that came between", () => {
    const log = logOf(
      ["chunk", "so "],
      ["tool_call_request", { request_id: "r", tool_name: "query", payload: { sql: 1 } }],
      ["chunk", "and "],
      ["task_updated", { internal_status: "Asking" }],
      ["tool_call_result", { request_id: "r", result: "4 rows" }],
      ["tool_call_result", { request_id: "lonely", tool_name: "late", result: 1, is_error: true }],
    );
    expect(log.items.filter((i) => i.kind === "tool")).toMatchObject([
      { name: "query", state: "good", output: "4 rows", input: { sql: 1 } },
      { name: "late", state: "bad" },
    ]);
  });

  test("shows trouble, always", () => {
    const log = logOf(
      ["attempt_started", { attempt: 1, worker_id: "w-1" }],
      ["attempt_lost", { attempt: 1, worker_id: "w-1", reason: "the worker fell silent" }, { by: "server" }],
      ["attempt_started", { attempt: 2, worker_id: "w-2" }],
      ["late_write_refused", { execution_attempt: 1, worker_id: "w-1", refused_status: "completed", refused_result: "old" }, { by: "server" }],
      ["stop_requested", { by: "key mei" }, { by: "key mei" }],
      ["stop_abandoned", {}, { by: "server" }],
    );
    expect(log.items.filter((i) => i.kind === "note").map((i) => (i.kind === "note" ? i.tone : ""))).toEqual(["lost", "refused", "stop", "bad"]);
    expect(log.fold.attempts).toMatchObject([{ number: 1, how: "lost" }, { number: 2, how: "" }]);
    expect(log.fold.stop).toBe("abandoned");
  });

  test("a sub-task says where it was begun how it ended, and where it was begun by no event in a line", () => {
    const log = logOf(
      ["sub_agent_trigger", { agent_id: "helper", task_id: "s1", query: "look" }],
      ["chunk", "meanwhile"],
      ["subtask_finished", { agent_id: "helper", task_id: "s1", status: "completed" }],
      ["subtask_finished", { agent_id: "other", task_id: "s2", status: "error" }],
    );
    expect(log.items).toMatchObject([{ kind: "child", status: "completed", seq: 1, to: 3 }, { kind: "quiet", words: "A sub-task of other ended: error" }, { kind: "text" }]);
  });

  test("attempts are those of the turn", () => {
    const log = logOf(["attempt_started", { attempt: 1, worker_id: "w-1" }], ["task_finished", { status: "completed" }], ["task_created", { status: "pending", input: { text: "more" } }], ["attempt_started", { attempt: 1, worker_id: "w-2" }]);
    expect(log.fold.attempts).toMatchObject([{ worker: "w-2" }]);
  });

  test("text that is void is marked, and what follows begins anew", () => {
    const log = logOf(["chunk", "wrong"], ["task_compactization", { type: "retry" }], ["chunk", "right"]);
    expect(log.items.map((i) => (i.kind === "text" ? [i.text, i.void] : i.kind))).toEqual([["wrong", true], "note", ["right", false]]);
  });

  test("survives data of any shape", () => {
    for (const type of ["chunk", "task_created", "task_updated", "task_finished", "tool_call_request", "tool_call_result", "think", "plan_updated", "late_write_refused", "approval_requested", "agent_message", "step", "no_such_type"]) {
      for (const data of [null, 1, "text", [], {}, { input: 3, tasks: 3, reasoning: null }, [null]]) {
        seq = 0;
        expect(new Log().add(event(type, data, {}))).toBe("taken");
      }
    }
  });

  test("is the same however it was cut", () => {
    const all: TaskEvent[] = [];
    seq = 0;
    for (let i = 0; i < 400; i++) {
      all.push(i % 7 === 3 ? event("task_updated", { internal_status: `s${i % 3}` }) : i % 11 === 5 ? event("think", { title: "t", thought: `${i}` }) : event("chunk", `\u00e4${i}\ud83d\ude00`));
    }
    const whole = new Log();
    for (const e of all) whole.add(e);
    const cut = new Log();
    for (let i = 0; i < all.length; ) {
      const from = Math.max(0, i - (i % 5)); // a resume that says again what was said
      for (const e of all.slice(from, i + 13)) cut.add(e);
      i += 13;
    }
    expect(cut.items).toEqual(whole.items);
    expect(cut.text).toBe(all.filter((e) => e.type === "chunk").map((e) => e.data).join(""));
  });
});

test("runs of good calls are folded behind their first, bad ones never", () => {
  const call = (n: number, state: "good" | "bad"): Item =>
    ({ kind: "tool", seq: n, to: n, at: "", turn: 1, id: `${n}`, name: "q", why: "", input: null, output: null, state, until: "" }) as Item;
  const items = [1, 2, 3, 4, 5].map((n) => call(n, "good"));
  expect(kinds(shown(items, new Set()))).toBe("tool tools");
  expect(kinds(shown(items, new Set([2])))).toBe("tool tool tool tool tool");
  expect(kinds(shown([...items, call(6, "bad")], new Set()))).toBe("tool tools tool");
  expect(kinds(shown(items.slice(0, 3), new Set()))).toBe("tool tool tool");
});

test("tries again after half a second, doubled to ten, never in step with others", () => {
  expect([1, 2, 3, 4, 5, 6, 9].map((n) => retryIn(n, 0.5))).toEqual([500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
  expect(retryIn(1, 0)).toBe(375);
  expect(retryIn(9, 1)).toBe(12_500);
});

test("a chat is what was said, and what a turn without words ended with", () => {
  const log = logOf(
    ["task_created", { input: { text: "one?" }, status: "pending" }, { by: "key anna" }],
    ["attempt_started", { attempt: 1, worker_id: "w" }],
    ["think", { title: "t", thought: "hm" }],
    ["output", { name: "a.csv", size: 12 }],
    ["task_finished", { status: "completed", result: "one!" }],
    ["task_created", { input: { text: "two?" }, status: "pending" }, { by: "key anna" }],
    ["chunk", "two!"],
    ["task_finished", { status: "completed", result: "two!" }],
    ["task_created", { input: { text: "three?" }, status: "pending" }, { by: "key anna" }],
    ["task_finished", { status: "failed", result: "no" }],
  );
  expect(chat(log.items).map((i) => (i.kind === "ask" || i.kind === "text" ? i.text : i.kind))).toEqual(["one?", "output", "one!", "two?", "two!", "three?", "end"]);
  expect(log.fold.outputs).toBe(1);
});

test("a text that becomes long is parted behind a paragraph, and never within code", () => {
  const long = "word ".repeat(3300);
  const log = logOf(["chunk", long], ["chunk", "end\n\nNew"], ["chunk", " one\n\n```\n" + long], ["chunk", "\n\nstill code"], ["chunk", "\n```\n\nafter"]);
  const texts = log.items.map((i) => (i.kind === "text" ? i.text : ""));
  expect(texts.map((t) => t.slice(0, 4) + t.slice(-5))).toEqual(["wordend\n\n", "New ```\n\n", "afterafter".slice(0, 4) + "after"]);
  expect(texts.join("")).toBe(log.text);
  expect(new Set(log.items.map((i) => i.kind + i.seq)).size).toBe(3);
  const one = logOf(["chunk", long], ["chunk", long], ["chunk", "end"]);
  expect(one.items.length).toBe(2);
  expect(one.items.map((i) => (i.kind === "text" ? i.text : "")).join("")).toBe(one.text);
});
