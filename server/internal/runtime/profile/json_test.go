package profile

import (
	"fmt"
	"strings"
	"testing"
)

func TestProfileJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file, content string
		want                []string
	}{
		{
			"rows", "a.json", `[{"n":1,"s":"x","in":{"b":true}},{"n":2.5,"s":null,"l":[1,2]}]`,
			[]string{
				"A list of **2 elements**", "nested 3 levels deep", "| n | 1 | 1.375 | 1.75 | 2.125 | 2.5 | 1.75 | 3.5 |",
				"| s | text | 1 (50.0%) | 1 |", "| in.b | boolean | 1 (50.0%) | 1 |", "| l | text |",
			},
		},
		{"values", "a.json", `[1, 2, "x", [3]]`, []string{"A list of **4 elements**", "| value | text | 0 | 4 |"}},
		{"empty list", "a.json", `[]`, []string{"A list of **0 elements**"}},
		{"scalar", "a.json", ` "hi" `, []string{"A single string, hi in 6 bytes, nested 0 levels deep."}},
		{
			"object", "a.json", `{"a":1,"b":"<x>","c":null,"d":{"e":[[]]},"":true}`,
			[]string{
				"An object with **5 keys** in 49 bytes, nested 4 levels deep.", "| a | number | 1 |",
				"| b | string | &lt;x&gt; |", "| c | null |  |", "| d | object | object with 1 key |", "| (no name) | boolean | true |",
			},
		},
		{
			"lists in an object", "a.geojson", `{"type":"T","rows":[{"n":1},{"n":2}],"plain":[1,2]}`,
			[]string{"| rows | list | 2 elements |", "### The list rows", "| n | 1 | 1.25 |", "| plain | list | 2 elements |"},
		},
		{
			"malformed", "a.json", "[\n{\"a\":1},\n{\"a\":2},\n{\"a\":oops}\n]",
			[]string{"A list of **2 elements**", "Reading stopped near line 4: invalid character 'o'"},
		},
		{"cut off", "a.json", `[{"a":1},{"a":`, []string{"**1 element**", "it ends in the middle of a value"}},
		{"cut off object", "a.json", `{"a":1,"b"`, []string{"An object with **1 key**", "Reading stopped near line 1"}},
		{"no JSON", "a.json", "hello", []string{"Not analysed: the content is not JSON.", "near line 1"}},
		{"empty", "a.json", " \n", []string{"The file is empty."}},
		{"two values", "a.json", "[1]\n[2]", []string{"Another JSON value begins on line 2; it and the rest are left out."}},
		{
			"too deep", "a.json", strings.Repeat("[", 200_000),
			[]string{"nested deeper than 1,000 levels"},
		},
		{
			"too deep in objects", "a.json", strings.Repeat(`[{"a":`, 100_000),
			[]string{"nested deeper than 1,000 levels"},
		},
		{
			"lines", "a.jsonl", "{\"a\":1}\n\n{\"a\":2,\"b\":\"x\"}\noops\n{\"a\":3}{\n{\"a\":4}",
			[]string{
				"**3 lines** of JSON", "| a | 1 | 1.5 | 2 | 3 | 4 |", "| b | text | 2 (66.7%) | 1 |",
				"2 lines left out as not valid JSON; the first is line 4: invalid character 'o'",
			},
		},
		{"lines in a .json", "a.json", "{\"a\":1}\n{\"a\":2}\n", []string{"**2 lines** of JSON"}},
		{"long line", "a.ndjson", `"` + strings.Repeat("x", maxJSONLine) + "\"\n1\n", []string{"**1 line**", "1 line left out"}},
		{"NUL and bad UTF-8", "a.json", "[{\"a\\u0000\\ud800\":\"\\u0000\xff\"}]", []string{"| a\ufffd\ufffd | text |"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := profileOne(t, tt.file, tt.content)
			wantParts(t, text, tt.want...)
			if strings.Contains(text, "%!") {
				t.Errorf("the report has a formatting fault:\n%s", text)
			}
		})
	}
}

func TestProfileJSONColumnsAreBounded(t *testing.T) {
	t.Parallel()
	var content strings.Builder
	for i := range maxColumns + 1 {
		fmt.Fprintf(&content, "{\"k%d\":1}\n", i)
	}
	wantParts(t, profileOne(t, "a.jsonl", content.String()), "Only the first 5,000 columns are profiled.")
}

func TestProfileOtherContent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file, content string
		want                []string
	}{
		{
			"text", "a.txt", "Hello wide world,\nhello `again`!\n\nbye",
			[]string{
				"Text: **4 lines**, **6 words**, 37 characters, 37 bytes.",
				"```text\nHello wide world,\nhello `again`!\n\nbye\n```", "| hello | 2 |", "| again | 1 |",
			},
		},
		{"fence", "a.md", "```go\n````\n", []string{"`````text\n```go\n````\n`````"}},
		{"no extension", "README", "some text", []string{"Text: **1 line**, **2 words**"}},
		{"old encoding", "a.log", "caf\xe9 au lait, s'il vous plait", []string{"1 byte is not UTF-8 and is read as Windows-1252"}},
		{"long line", "a.txt", strings.Repeat("word", 1000), []string{strings.Repeat("word", 29) + "wor…"}},
		{"empty", "a.txt", "", []string{"The file is empty."}},
		{"image", "a.png", "\x89PNG\x0d\x0a\x1a\x0arest", []string{"Nothing could be analysed. a.png: Not analysed: 12 bytes of image/png."}},
		{"document", "a.pdf", "%PDF-1.7 rest", []string{"Not analysed: 13 bytes of application/pdf."}},
		{"binary", "a.bin", "\x01\x02\x00\x03", []string{"Not analysed: 4 bytes of application/octet-stream."}},
		{"sheet", "a.xlsx", "PK\x03\x04rest", []string{"Not analysed: 8 bytes of an archive that is broken."}},
		{"name", "a|b*<i>\n.bin", "some text", []string{"## a\\|b\\*&lt;i&gt; .bin\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantParts(t, profileOne(t, tt.file, tt.content), tt.want...)
		})
	}
}

// What is no text has no characters that are read as others.
func TestNoEncodingOfWhatIsNoText(t *testing.T) {
	t.Parallel()
	if got := profileOne(t, "a.bin", "\x7fELF\x00\xff\xfe\x80\x00\x01"); strings.Contains(got, "read as") {
		t.Errorf("says %s", got)
	}
}

func TestInline(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"unit_price", "unit_price"},
		{"_x_ y_", `\_x\_ y\_`},
		{"a\\|b", `a\\\|b`},
		{"<a b='x'>", "&lt;a b='x'&gt;"},
		{"&lt;", "&amp;lt;"},
		{"a\r\nb\tc", "a  b c"},
		{"x\u202eevil\u2028", "xevil"},
		{"\x00\xff", "\ufffd\ufffd"},
		{"äöüäöüäöüäöü", "äöüäöüäöü…"},
		{"äöüäöüäöüä", "äöüäöüäöüä"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			t.Parallel()
			if got := inline(tt.in, 10); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A string is read as a whole, so it has to have a limit.
func TestProfileJSONHugeValue(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("x", 2*maxToken)
	text := profileOne(t, "a.json", "[{\"a\":\"y\"},\n{\"a\":\""+huge+"\"},{\"a\":\"z\"}]")
	wantParts(t, text, "A list of **1 element** in 8 MiB", "Reading stopped near line 2: a value is longer than 4 MiB.")
	many := "[" + strings.Repeat("{\"a\":\""+huge[:1<<20]+"\"},\n", 6) + "1]"
	wantParts(t, profileOne(t, "b.json", many), "A list of **7 elements** in 6 MiB")
}
