import { expect, test } from "vitest";
import { facesOf, numeric, tableOfJSON, tableOfText } from "./table";

test("a list of objects is a table of all their members, a list of lists one without names", () => {
  expect(tableOfJSON([{ a: 1, b: "x" }, { b: null, c: { d: [1] } }])).toEqual({ columns: ["a", "b", "c"], rows: [["1", "x", ""], ["", "", '{"d":[1]}']] });
  expect(tableOfJSON([[1, "<b>"], []])).toEqual({ columns: [], rows: [["1", "<b>"], []] });
  for (const other of [[], {}, [1, 2], [{}], [{ a: 1 }, 2], "x", null]) expect(tableOfJSON(other)).toBeNull();
});

test("a text is a table if its rows are of one length", () => {
  expect(tableOfText('\ufeffa,b\r\n"x, ""y""\nz",2\n,\n')).toEqual({ columns: ["a", "b"], rows: [['x, "y"\nz', "2"], ["", ""]] });
  expect(tableOfText("a;b\n1,5;2\n")?.rows).toEqual([["1,5", "2"]]);
  expect(tableOfText("a\tb\n1\t2,3")?.columns).toEqual(["a", "b"]);
  for (const other of ["", "one\ntwo", "a,b", "a,b\n1", 'a,"b\n1,2', 'a,"b"c\n1,2', "Dear all, hello\n\nit is, as said, done"]) expect(tableOfText(other)).toBeNull();
});

test("numbers stand to the right", () => {
  expect(numeric({ columns: ["a", "b", "c", "d"], rows: [["1,284.50", "x1", "", "12 %"], ["-3", "2", "", ""]] })).toEqual([true, false, false, true]);
});

test("a text is looked at as what it is, by its name or by itself", () => {
  const all = (text: string, name?: string): string[] => facesOf(text, name).all;
  expect(all('[{"a":1}]')).toEqual(["table", "tree", "text"]);
  expect(all('{"a":1}')).toEqual(["tree", "text"]);
  expect(all("[not json")).toEqual(["read", "text"]);
  expect(all("a,b\n1,2")).toEqual(["read", "table", "text"]);
  expect(all("a,b\n1,2", "x.csv")).toEqual(["table", "text"]);
  expect(all("a,b\n1", "x.csv")).toEqual(["text"]);
  expect(all('{"a":1}\n{"a":2}', "x.ndjson")).toEqual(["table", "tree", "text"]);
  expect(all("# a,b\n1,2", "x.md")).toEqual(["read", "text"]);
  expect(all("x", "x.log")).toEqual(["text"]);
});
