import { expect, test } from "vitest";
import type { Approval } from "../api/types";
import { formOf, urgent, valueOf } from "./approvals";

test("a schema of plain members is a form, any other is JSON", () => {
  const form = formOf({ type: "object", required: ["to"], properties: { to: { type: "string", title: "To" }, most: { type: "number" }, sure: { type: "boolean" }, how: { enum: ["a", "b"] } } });
  expect(form?.map((f) => [f.name, f.label, f.kind, f.required])).toEqual([["to", "To", "text", true], ["most", "most", "number", false], ["sure", "sure", "boolean", false], ["how", "how", "choice", false]]);
  expect(valueOf(form ?? [], { to: "x", most: "12.5" })).toEqual({ to: "x", most: 12.5, sure: false });
  expect(formOf({ type: "string" })?.[0]?.kind).toBe("text");
  expect(valueOf(formOf({ type: "integer" }) ?? [], { "": 3 })).toBe(3);
  for (const other of [null, {}, { type: "array" }, { type: "object" }, { type: "object", properties: { a: { type: "array" } } }, { type: "object", properties: {} }]) expect(formOf(other)).toBeNull();
});

test("the next deadline comes first", () => {
  const a = (id: string, deadline: string | null, created_at: string): Approval => ({ id, deadline, created_at }) as Approval;
  expect(urgent([a("c", null, "2"), a("b", "2026-02", "1"), a("d", null, "3"), a("a", "2026-01", "9")]).map((x) => x.id)).toEqual(["a", "b", "c", "d"]);
});
