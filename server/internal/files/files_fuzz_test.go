package files

import (
	"path"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/secret"
)

// FuzzName holds for any name that what is made of it is one segment of a path,
// fits into a header between quotes, and stays as it is when made again.
func FuzzName(f *testing.F) {
	for _, seed := range []string{
		"", "a.csv", "../../etc/passwd", `C:\x\y.txt`, "..", ". .", "a\x00\r\nb", "\xff.csv", strings.Repeat("ü", 150) + ".csv", strings.Repeat("a", 300),
		"a." + strings.Repeat("b", 300), `"; rm`, "a/", "\u202egnp.exe", " .x. ", strings.Repeat("ü", 99) + " .csv",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		name := Name(given)
		if name == "" || len(name) > maxName || name == "." || name == ".." || path.Base(name) != name || !utf8.ValidString(name) ||
			strings.ContainsAny(name, `/\"`) || strings.ContainsFunc(name, unicode.IsControl) {
			t.Errorf("%q became %q", given, name)
		}
		if again := Name(name); again != name {
			t.Errorf("%q became %q, then %q", given, name, again)
		}
	})
}

// FuzzSplitRef holds for any text that what is taken for a reference is exactly
// the reference of its parts.
func FuzzSplitRef(f *testing.F) {
	id := strings.Repeat("0f", 32)
	for _, seed := range []string{"", "file:", "file:" + id + "/a.csv", "file:" + id + "/../x", "file:" + strings.ToUpper(id) + "/a", "file:" + id, "http://a/b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		id, name, ok := SplitRef(given)
		if ok && (Ref(id, name) != given || len(id) != 64 || strings.ToLower(id) != id) {
			t.Errorf("%q was split into %q and %q", given, id, name)
		}
	})
}

// FuzzVerify holds for any signature that it opens only what it was made for,
// and only for its time.
func FuzzVerify(f *testing.F) {
	box, err := secret.NewBox(make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	s := NewShelf("", nil, nil, box, func() time.Time { return now }, func() string { return "http://h" })
	id := strings.Repeat("0f", 32)
	good := s.sign("default", id, "a.csv", now.Unix()+60)
	f.Add(id, good, "a.csv")
	f.Add(id, good, "b.csv")
	f.Add(id, s.sign("default", id, "a.csv", now.Unix()-60), "a.csv")
	f.Add(id, strings.ToUpper(good), "a.csv")
	f.Add("", "..", "")
	f.Add(id, "-1.ZGVmYXVsdA.AAAA", "a.csv")
	f.Fuzz(func(t *testing.T, given, signature, name string) {
		org, err := s.Verify(given, signature, name)
		if isGood := given == id && signature == good && name == "a.csv"; isGood != (err == nil) {
			t.Fatalf("%q %q %q: %q, %v", given, signature, name, org, err)
		}
		if code := fault.CodeOf(err); err != nil && code != fault.NotFound && code != fault.Gone {
			t.Errorf("%q %q %q: %v", given, signature, name, err)
		}
		if err == nil && org != "default" {
			t.Errorf("it is of %q", org)
		}
	})
}
