import { expect, test, vi } from "vitest";
import type { Found, Row } from "../api/types";
import { lastWords, whyOf } from "../words";
import { asked, askEarly, byTask, filterOf, isID, matches, openOf, stopAll, sinceMs, takeEarly, tokens, typed, watched } from "./list";

test("a filter is read out of the address, and what it cannot hold counts for nothing", () => {
  const f = filterOf(new URLSearchParams("status=failed&status=error&status=odd&agent=x&end=timeout&since=24h&roots=1"));
  expect(f).toMatchObject({ status: ["failed", "error"], agent: "x", end: "timeout", since: "24h", roots: true });
  expect(filterOf(new URLSearchParams("since=javascript:1")).since).toBe("");
  expect(asked(f, Date.UTC(2026, 10, 29))).toEqual({
    status: ["failed", "error"], agent_id: "x", end_reason: "timeout", from_date: "2026-11-28T00:00:00.000Z", roots: "true",
  });
  expect(tokens(f).map((t) => `${t.name}:${t.say}`)).toEqual(["agent:x", "end:timeout", "since:1 d", "roots:only"]);
});

test("what is typed becomes tokens, and what is none is told", () => {
  expect(typed("late agent:sales worker:w-1 since:7d http://x since:soon roots:only")).toEqual({
    tokens: [["agent", "sales"], ["worker", "w-1"], ["since", "7d"], ["roots", "1"]],
    unknown: "since:soon",
    words: "late http://x",
  });
  expect(typed("tag:q3 why:no_worker why:me end:budget end:never")).toEqual({
    tokens: [["tag", "q3"], ["why", "no_worker"], ["end", "budget"]],
    unknown: "why:me end:never",
    words: "",
  });
  expect(["019a22be-ff50-7e23-90f0-ca802954ac4b", "photographs", "two words", "report-2026"].map(isID)).toEqual([true, false, false, false]);
  expect(sinceMs("15m")).toBe(900_000);
  expect(sinceMs("1y")).toBe(0);
});

test("a row that is told of belongs to the list or does not", () => {
  const now = Date.UTC(2026, 10, 29, 12, 0, 30);
  const f = filterOf(new URLSearchParams("status=failed&agent=x&since=1h&roots=1"));
  expect(watched(f, now)).toBe("agent_id=x&from_date=2026-11-29T11%3A00%3A00.000Z&roots=true");
  const row = { status: "failed", agent_id: "x", parent_task_id: null, created_at: "2026-11-29T11:30:00Z" } as Row;
  expect(matches(f, row, false, now)).toBe(true);
  const others: Partial<Row>[] = [{ status: "error" }, { agent_id: "y" }, { parent_task_id: "p" }, { created_at: "2026-11-29T10:00:00Z" }];
  for (const other of others) expect(matches(f, { ...row, ...other }, false, now)).toBe(false);
  expect(matches(f, { ...row, agent_id: "y" }, true, now)).toBe(true);
  expect(matches(f, { ...row, status: "error" }, true, now)).toBe(false);
});

test("chips are no part of the list that they count", () => {
  const f = filterOf(new URLSearchParams("needs=you&status=paused&tag=q3&why=person"));
  expect(asked(f, 0)).toEqual({ status: ["paused"], needs: "you", tag: "q3", waiting_reason: "person" });
  expect(watched(f, 0)).toBe("tag=q3&waiting_reason=person");
  const row = { status: "paused", tags: ["q3"], created_at: "2026-11-29T11:30:00Z", approval: { id: "a" } } as Row;
  expect([matches(f, row, true, 0), matches(f, row, false, 0)]).toEqual([true, null]);
  for (const other of [{ approval: null }, { tags: [] }] as Partial<Row>[]) expect(matches(f, { ...row, ...other }, "approval" in other, 0)).toBe(false);
});

test("what is stopped of a list are those that have not ended", () => {
  const of = (q: string) => stopAll(filterOf(new URLSearchParams(q)), 0);
  expect(of("")).toEqual({ filter: {}, all: true });
  expect(of("status=failed&status=pending&agent=x&roots=1")).toEqual({ filter: { status: ["pending"], agent_id: "x", roots: true } });
  expect(of("needs=you&tag=q3")).toEqual({ filter: { needs: "you", tag: "q3" } });
  expect(of("status=failed")).toBeNull();
  const sums = { by_status: { pending: 3, executing: 2, failed: 7 }, needs_you: 1, next_deadline: null };
  expect(["", "status=pending&status=failed", "needs=you"].map((q) => openOf(filterOf(new URLSearchParams(q)), sums))).toEqual([5, 3, 1]);
});

test("what a task said last has no half words and no marks", () => {
  expect(lastWords("Net **2.91**\n\n| a |")).toBe("\u201cNet 2.91 a\u201d");
  expect(lastWords("f the " + "x".repeat(114))).toBe("\u201c\u2026the " + "x".repeat(114) + "\u201d");
  expect(lastWords("| - |")).toBe("\u201c-\u201d");
  expect(lastWords("**")).toBe("");
});

test("a row says why its task has failed, without marks that hide or turn", () => {
  const row = { status: "failed", end_reason: "failed", attempt: 1, max_attempts: 3, failure: "no column \u202emonth" } as Row;
  expect(whyOf(row)).toEqual({ tone: "warn", lead: "no column \u25afmonth", more: "" });
  expect(whyOf({ ...row, status: "error", end_reason: "worker_error", attempt: 3 })).toMatchObject({ tone: "bad", more: "3 of 3 attempts" });
  expect(whyOf({ ...row, failure: "" }).lead).toBe("The agent could not do it");
  const off = { state: "invalid", rounds: 0, errors: ["/items/4: not a string"] } as const;
  expect(whyOf({ ...row, failure: "", end_reason: "schema_mismatch", result_check: { ...off, errors: [...off.errors] } })).toMatchObject({ lead: "Result does not match its schema", more: "/items/4: not a string" });
});

test("places where words stand are told by task", () => {
  const place = (task_id: string, part: Found["part"]) => ({ task_id, part }) as Found;
  const found = byTask([place("t-1", "result"), place("t-2", "event"), place("t-1", "prompt"), place("t-1", "event")]);
  expect(found.map((t) => [t.first.task_id, t.first.part, t.more])).toEqual([["t-1", "result", 2], ["t-2", "event", 0]]);
});

test("a list that was asked for before somebody signed in is asked for again", async () => {
  let status = 401;
  const sent = vi.fn(async (_path: string) => new Response(JSON.stringify({ items: [], next_cursor: null }), { status }));
  vi.stubGlobal("fetch", sent);
  const params = new URLSearchParams("agent=x");
  askEarly(params);
  await vi.waitFor(() => expect(sent).toHaveBeenCalledTimes(2));
  await new Promise((settled) => setTimeout(settled));
  expect(takeEarly("agent=x")).toBeUndefined();
  status = 200;
  askEarly(params);
  expect(takeEarly("agent=y")).toBeUndefined(); // that is another list
  askEarly(params);
  expect((await takeEarly("agent=x"))?.page.items).toEqual([]);
  expect(takeEarly("agent=x")).toBeUndefined();
  sent.mockClear();
  askEarly(new URLSearchParams("q=okapis"));
  expect(sent).not.toHaveBeenCalled();
  vi.unstubAllGlobals();
});
