package profile

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
	"unicode/utf8"
)

// inUTF16 encodes a text without a byte order mark.
func inUTF16(order binary.AppendByteOrder, text string) string {
	var content []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		content = order.AppendUint16(content, unit)
	}
	return string(content)
}

// inWindows1252 encodes a text of Latin-1 letters and euro signs.
func inWindows1252(text string) string {
	var content []byte
	for _, r := range text {
		if r == '€' {
			r = 0x80
		}
		content = append(content, byte(r))
	}
	return string(content)
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	// More than one block, so that characters are cut at its end.
	rows := strings.Repeat("München;12,50 €\nKöln;1.000,25 €\n", 4_000)
	csv := "städte;betrag\n" + rows
	tests := []struct{ name, content, want string }{
		{"UTF-8", csv, " KiB, separated"},
		{"UTF-8 with a mark", "\ufeff" + csv, " KiB, separated"},
		{"UTF-16LE", "\xff\xfe" + inUTF16(binary.LittleEndian, csv), " KiB of UTF-16, separated"},
		{"UTF-16BE", "\xfe\xff" + inUTF16(binary.BigEndian, csv), " KiB of UTF-16, separated"},
		{"UTF-16LE without a mark", inUTF16(binary.LittleEndian, csv), " KiB of UTF-16, separated"},
		{"UTF-16BE without a mark", inUTF16(binary.BigEndian, csv), " KiB of UTF-16, separated"},
		{
			"Windows-1252", inWindows1252(csv),
			"16,001 bytes are not UTF-8 and are read as Windows-1252 (the first on line 1).",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := profileOne(t, "a.csv", tt.content)
			wantParts(t, text, tt.want, "**8,000 rows** in **2 columns**", "| städte | text | 0 | 2 |",
				"| Köln | 4,000 | €4,001,000.00 | 98.8% |", "| München | 4,000 | €50,000.00 | 1.2% |")
		})
	}
}

func TestEncodingsOfOtherFiles(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file, content string
		want                []string
	}{
		{
			"JSON in UTF-16", "a.json", "\xff\xfe" + inUTF16(binary.LittleEndian, `[{"ä":"ö","n":1}]`),
			[]string{"A list of **1 element** in 36 bytes of UTF-16", "| ä | text |"},
		},
		{
			"JSON Lines in UTF-16", "a.jsonl", inUTF16(binary.BigEndian, "{\"ä\":1}\n{\"ä\":2}\n"),
			[]string{"**2 lines** of JSON in 32 bytes of UTF-16", "| ä | integer |"},
		},
		{
			"JSON in Latin-1", "a.json", inWindows1252("[\n{\"a\":\"ö€\"},{\"a\":\"ö€\"}]"),
			[]string{"| ö€ | 2 | 100.0% |", "4 bytes are not UTF-8 and are read as Windows-1252 (the first on line 2)."},
		},
		{
			"text in UTF-16", "a.txt", inUTF16(binary.LittleEndian, "Größe und 😀\nweiter\n"),
			[]string{"Text: **2 lines**, **4 words**, 19 characters, 40 bytes of UTF-16.", "Größe und 😀\n"},
		},
		{
			"text in Latin-1", "a.txt", inWindows1252("Die Größe der Stadt in Euro (€)\n"),
			[]string{"Die Größe der Stadt in Euro (€)\n", "3 bytes are not UTF-8"},
		},
		{
			"half a character at the end", "a.csv", "\xff\xfe" + inUTF16(binary.LittleEndian, "a,b\n1,2\n3,x") + "y",
			[]string{"1 character is not valid UTF-16", "**2 rows**", "| b |"},
		},
		{
			"half a pair", "a.csv", "\xff\xfe" + inUTF16(binary.LittleEndian, "a,b\n1,2\n3,x") + "\x00\xd8\n\x00",
			[]string{"1 character is not valid UTF-16 and is shown as \ufffd (the first on line 3).", "**2 rows**"},
		},
		{
			"UTF-8 that is cut off", "a.csv", "a,b\n1,é\n2,\xc3",
			[]string{"1 byte is not UTF-8 and is read as Windows-1252 (the first on line 3).", "**2 rows**"},
		},
		{"only the mark", "a.csv", "\xff\xfe", []string{"The file is empty."}},
		{
			"NUL bytes here and there", "a.csv", "a,b\nx\x00y,1\nx\x00y,2\n",
			[]string{"2 cells have NUL bytes"},
		},
		{"binary with NUL bytes", "a.bin", strings.Repeat("\x01\x00\x02\x00", 50), []string{"Not analysed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantParts(t, profileOne(t, tt.file, tt.content), tt.want...)
		})
	}
}

// What a file reads as must not depend on the pieces in which it comes.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte("aä€😀\xff\xc3"), byte(encodingBytes))
	f.Add([]byte(inUTF16(binary.LittleEndian, "aä€😀\n")+"\x3d\xd8\n"), byte(encodingUTF16LE))
	f.Add([]byte(inUTF16(binary.BigEndian, "aä€😀\n")+"\xd8\x3d"), byte(encodingUTF16BE))
	f.Fuzz(func(t *testing.T, content []byte, e byte) {
		decode := func(from io.Reader) (string, flaw) {
			d := newDecoder(encoding(e%3), nil, from)
			text, err := io.ReadAll(d)
			if err != nil {
				t.Fatal(err)
			}
			return string(text), d.foreign
		}
		text, foreign := decode(bytes.NewReader(content))
		slow, also := decode(iotest.OneByteReader(bytes.NewReader(content)))
		if text != slow || foreign != also {
			t.Errorf("%q with %v, but byte by byte %q with %v", text, foreign, slow, also)
		}
		if !utf8.ValidString(text) {
			t.Errorf("%q is not UTF-8", text)
		}
		if e%3 == byte(encodingBytes) && utf8.Valid(content) && (text != string(content) || foreign.count > 0) {
			t.Errorf("%q became %q", content, text)
		}
	})
}
