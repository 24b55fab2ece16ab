import { expect, test } from "vitest";
import { asked, filterOf, sinceMs, tokens, typed } from "./list";

test("a filter is read out of the address, and what it cannot hold counts for nothing", () => {
  const f = filterOf(new URLSearchParams("status=failed&status=error&status=odd&agent=x&tag=a&tag=b&since=24h&roots=1&q=late+order"));
  expect(f).toMatchObject({ status: ["failed", "error"], agent: "x", tag: ["a", "b"], since: "24h", roots: true, q: "late order" });
  expect(filterOf(new URLSearchParams("since=javascript:1")).since).toBe("");
  expect(asked(f, Date.UTC(2026, 10, 29))).toEqual({
    status: ["failed", "error"], agent_id: "x", tag: ["a", "b"], from_date: "2026-11-28T00:00:00.000Z", roots: "true", q: "late order",
  });
  expect(tokens(f).map((t) => `${t.name}:${t.say}`)).toEqual(["agent:x", "tag:a", "tag:b", "since:1 d", "roots:only"]);
});

test("what is typed becomes tokens and words", () => {
  expect(typed("late agent:sales order tag:q3 since:7d http://x since:soon")).toEqual({
    tokens: [["agent", "sales"], ["tag", "q3"], ["since", "7d"]],
    q: "late order http://x since:soon",
  });
  expect(sinceMs("15m")).toBe(900_000);
  expect(sinceMs("1y")).toBe(0);
});
