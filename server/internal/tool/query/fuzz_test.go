package query

import (
	"encoding/csv"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzStatement holds for any text that a statement which has it in quotes or in a
// comment is one statement, and two with another one behind it.
func FuzzStatement(f *testing.F) {
	for _, seed := range []string{"", ";", "'", `"`, "--", "/*", "*/", "]", "a;b -- c\n/* d */", "''';'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsRune(text, 0) {
			text = strings.ReplaceAll(text, "\x00", "")
		}
		if len(text) > maxSQL/3 {
			return
		}
		for _, one := range []string{
			"SELECT '" + strings.ReplaceAll(text, "'", "''") + "'",
			"SELECT " + quoted(text) + " FROM a",
			"SELECT `" + strings.ReplaceAll(text, "`", "``") + "`",
			"SELECT [" + strings.ReplaceAll(text, "]", "") + "]",
			"SELECT 1 /* " + strings.ReplaceAll(text, "*/", "") + " */",
			"SELECT 1 -- " + strings.ReplaceAll(text, "\n", " ") + "\n",
		} {
			if strings.HasSuffix(one, "* */") || strings.HasSuffix(one, "*/ */") {
				continue // the comment may end before
			}
			if err := checkStatement(one + "; -- the end"); err != nil {
				t.Errorf("%q: %v", one, err)
			}
			if err := checkStatement(one + "; SELECT 2"); err == nil {
				t.Errorf("%q and another one are taken for one", one)
			}
		}
	})
}

// FuzzText holds for any text that a reader of CSV reads what was written.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"a", "", " ", "a,b", `"`, "a\r\nb", "\ufeff", "NULL", "a\"\"b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !utf8.ValidString(value) || value == `\.` {
			return
		}
		r := csv.NewReader(strings.NewReader(shown(value) + "," + shown(value) + "\n"))
		got, err := r.Read()
		want := strings.ReplaceAll(value, "\r\n", "\n")
		if err != nil || len(got) != 2 || got[0] != want || got[1] != want {
			t.Errorf("%q is written as %s and read as %q, %v", value, shown(value), got, err)
		}
	})
}
