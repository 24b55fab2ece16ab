import { expect, test } from "vitest";
import { givenFaces, givenWords, type GivenFile, type GivenPart } from "./given";

const part = (p: Partial<GivenPart>): GivenPart => ({ as: "text", name: "", chars: 0, tokens: 0, pages: 0, rows: 0, columns: 0, width: 0, height: 0, why: "", ...p });
const file = (given: Partial<GivenPart>[], f: Partial<GivenFile> = {}): GivenFile => ({ id: "1-1", name: "x", size: 1, content_type: "", state: "given", reason: "", given: given.map(part), ...f });

test("a file is told as the agent has it", () => {
  const says = (f: GivenFile): string[] => Object.values(givenWords(f));
  expect(says(file([{ as: "table", rows: 48112, columns: 9, why: "the first 1,000 rows" }]))).toEqual(["48,112 rows × 9 columns", "the first 1,000 rows"]);
  expect(says(file([{ chars: 18402, pages: 11, tokens: 4600 }, { as: "picture", width: 1024, height: 576 }]))).toEqual(["11 pages, 18,402 characters of text, about 4,600 tokens; picture of 1,024 × 576", ""]);
  expect(says(file([{ as: "nothing", why: "This model reads no pictures." }]))).toEqual(["", "Not given. This model reads no pictures."]);
  expect(says(file([{ as: "link" }]))).toEqual(["Given as a link: the agent reads it itself", ""]);
  expect(says(file([], { state: "failed", reason: "404" }))[1]).toBe("Could not be read: 404");
  expect(givenFaces(file([{ as: "picture" }, { as: "table" }, { as: "table" }]))).toEqual(["table", "picture"]);
});
