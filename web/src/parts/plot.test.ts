import { describe, expect, test } from "vitest";
import { alone, linear, ofLengths, path, stacked } from "./plot";

describe("scales", () => {
  test("have few lines, at numbers that people say, and room for the most", () => {
    for (const [most, ticks] of [[0, [0, 1]], [1, [0, 1]], [3, [0, 1, 2, 3]], [7, [0, 4, 8]], [115, [0, 40, 80, 120]], [2_900_000, [0, 1e6, 2e6, 3e6]]] as const) {
      const s = linear(most);
      expect(s.ticks).toEqual(ticks);
      expect(s.at(most)).toBeLessThanOrEqual(1);
      expect(s.at(s.ticks.at(-1) as number)).toBe(1);
    }
  });
  test("of lengths go from a millisecond to the longest", () => {
    for (const [most, ticks] of [[0.2, [0.001, 0.01, 0.1, 1]], [8, [0.001, 0.01, 0.1, 1, 10]], [500, [0.001, 0.1, 10, 600]], [1e5, [0.001, 1, 600, 360_000]]] as const) {
      const s = ofLengths(most);
      expect(s.ticks.at(-1)).toBe(ticks.at(-1));
      expect(s.ticks.length).toBeLessThanOrEqual(5);
      expect(s.at(s.ticks.at(-1) as number)).toBeCloseTo(1);
      expect(s.at(0)).toBe(0);
    }
  });
});

test("bars stand on one another", () => {
  const of = (values: (number | null)[]): { name: string; tone: string; values: (number | null)[] } => ({ name: "", tone: "", values });
  expect(stacked([of([1, null]), of([2, 3])])).toEqual([[{ from: 0, to: 1 }, { from: 0, to: 0 }], [{ from: 1, to: 3 }, { from: 0, to: 3 }]]);
});

test("a line has gaps where nothing was measured, and dots between them", () => {
  expect(path([1, 2, null, 3, null], (i) => i, (v) => v)).toBe("M0.0 1.0L1.0 2.0M3.0 3.0");
  expect(alone([1, 2, null, 3, null])).toEqual([3]);
});
