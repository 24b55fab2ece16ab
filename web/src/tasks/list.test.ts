import { expect, test } from "vitest";
import { asked, filterOf, sinceMs, tokens, typed } from "./list";

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
    rest: "late http://x since:soon",
  });
  expect(sinceMs("15m")).toBe(900_000);
  expect(sinceMs("1y")).toBe(0);
});
