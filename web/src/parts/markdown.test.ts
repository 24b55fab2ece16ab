import { expect, test } from "vitest";
import { Blocks, safeHref, unescaped } from "./markdown";

const text = "# A\n\nOne *two*\nthree\n\n| a | b |\n| - | -: |\n| 1 | 2 |\n\n- x\n\n- y\n  - z\n\n```\ncode\n\nmore\n```\n\nlast <b>x</b>\n===\n";

test("a text that grows reads as the whole does, whatever the pieces", () => {
  const whole = new Blocks().read(text).map((b) => b.token);
  for (let step = 1; step < 9; step++) {
    const grown = new Blocks();
    for (let to = step; to < text.length; to += step) {
      grown.read(text.slice(0, to));
    }
    expect(grown.read(text).map((b) => b.token)).toEqual(whole);
  }
});

test("a block that is closed keeps its key, so that it is not drawn again", () => {
  const b = new Blocks();
  const first = b.read("One\n\nTwo\n\nThree\n\nFour\n\nFive").at(0);
  expect(b.read("One\n\nTwo\n\nThree\n\nFour\n\nFive and more\n\nSix").at(0)).toBe(first);
});

test("links lead to pages and mail, and nowhere else", () => {
  expect(safeHref("https://x.example/a")).toBe("https://x.example/a");
  expect(safeHref(" HTTP://x ")).toBe("HTTP://x");
  expect(safeHref("mailto:a@b")).toBe("mailto:a@b");
  for (const bad of ["javascript:alert(1)", " jAvascript:x", "data:text/html,x", "//x.example", "/v1/tasks", "file:///etc", "vbscript:x", "java\nscript:x", ""]) expect(safeHref(bad)).toBe("");
});

test("what the lexer escapes is a text again, once", () => {
  expect(unescaped("&lt;b&gt; &amp;lt; &quot;&#39;")).toBe("<b> &lt; \"'");
});

test("lines of a program stay lines", () => {
  const [p] = new Blocks().read("Reading a\nReading b\n");
  expect((p?.token as { tokens: { type: string }[] }).tokens.map((t) => t.type)).toEqual(["text", "br", "text"]);
});
