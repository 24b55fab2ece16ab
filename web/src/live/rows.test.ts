import { expect, test } from "vitest";
import type { Row } from "../api/types";
import { append, drop, empty, merge, put, release, type Rows } from "./rows";

const row = (n: number, updated = n, more: Partial<Row> = {}): Row =>
  ({ id: `t${n}`, created_at: stamp(n), updated_at: stamp(updated), last_event_seq: updated, status: "pending", ...more }) as Row;
const stamp = (n: number): string => new Date(Date.UTC(2026, 0, 1, 0, 0, n)).toISOString();
const ids = (list: Row[]): string => list.map((r) => r.id).join(" ");
const list: Rows = { ...empty, shown: [row(5), row(4), row(3)] };

test("new rows come in at the top, in order", () => {
  const next = put(put(list, row(7), false), row(6), false);
  expect(ids(next.shown)).toBe("t7 t6 t5 t4 t3");
});

test("while the list is held nothing moves, and what has come is counted", () => {
  const next = put(put(put(list, row(6), true), row(7), true), row(6, 9, { status: "executing" }), true);
  expect(ids(next.shown)).toBe("t5 t4 t3");
  expect(ids(next.fresh)).toBe("t7 t6");
  const after = release(next);
  expect(ids(after.shown)).toBe("t7 t6 t5 t4 t3");
  expect(after.shown[1]?.status).toBe("executing");
  expect(after.fresh).toEqual([]);
});

test("a row changes in its place, and never backwards", () => {
  const next = put(list, row(4, 9, { status: "completed" }), true);
  expect(next.shown[1]?.status).toBe("completed");
  expect(put(next, row(4, 8, { status: "executing" }), true)).toBe(next);
});

test("a row of a part that was not read stays out", () => {
  expect(put(list, row(1, 20), false)).toBe(list);
});

test("rows go, parts are joined without a double", () => {
  expect(ids(drop(list, "t4", false).shown)).toBe("t5 t3");
  expect(ids(append(list, [row(3), row(2)]).shown)).toBe("t5 t4 t3 t2");
});

test("what leaves a list that is held stays in its place until it may move", () => {
  const held = drop(list, "t4", true, row(4, 9, { status: "executing" }));
  expect([ids(held.shown), [...held.left], held.shown[1]?.status]).toEqual(["t5 t4 t3", ["t4"], "executing"]);
  expect([...put(held, row(4, 10), true).left]).toEqual([]);
  expect(ids(release(held).shown)).toBe("t5 t3");
  expect(drop(list, "t9", true)).toBe(list);
});

test("a list that was read again takes over, or only what it may while held", () => {
  const read = [row(6), row(5, 9, { status: "stopped" })];
  expect(ids(merge(list, read, false).shown)).toBe("t6 t5");
  const held = merge(list, read, true);
  expect([ids(held.shown), ids(held.fresh), held.shown[0]?.status]).toEqual(["t5 t4 t3", "t6", "stopped"]);
  expect(ids(merge(empty, read, true).shown)).toBe("t6 t5");
});
