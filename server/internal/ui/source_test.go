package ui

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDistIsOfTheSource says without Node whether what lies in the program was
// built from what lies in web/: `make ui` writes the sum that this computes.
func TestDistIsOfTheSource(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "..", "web")
	sum, err := sourceSum(root)
	if err != nil {
		t.Skipf("the sources of the pages are not here: %v", err)
	}
	built, err := os.ReadFile(filepath.Join("dist", "SOURCE"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(built)) != sum {
		t.Errorf("server/internal/ui/dist is of other sources than web/: run `make ui`\nhave %swant %s", built, sum)
	}
}

// sourceSum is the sum of the files that a build reads: their names and contents,
// in the order of their names. web/source.mjs computes the same.
func sourceSum(root string) (string, error) {
	names := []string{"index.html", "package.json", "package-lock.json", "svelte.config.js", "tsconfig.json", "vite.config.ts", "source.mjs"}
	for _, folder := range []string{"src", "public"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, ".test.ts") {
				return err
			}
			name, err := filepath.Rel(root, path)
			names = append(names, filepath.ToSlash(name))
			return err
		})
		if err != nil {
			return "", err
		}
	}
	slices.Sort(names)
	all := sha256.New()
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return "", err
		}
		one := sha256.Sum256(content)
		all.Write([]byte(hex.EncodeToString(one[:]) + "  " + name + "\n"))
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// TestBudgetOfTheFirstView: what a browser loads before it shows anything.
func TestBudgetOfTheFirstView(t *testing.T) {
	t.Parallel()
	const most = 130 << 10 // fonts too
	assets, err := site()
	if err != nil {
		t.Fatal(err)
	}
	index, err := assets["index.html"].plain()
	if err != nil {
		t.Fatal(err)
	}
	first, total, all := firstView(t, string(index)), len(assets["index.html"].packed), 0
	for name, a := range assets {
		content, err := a.plain()
		if err != nil {
			t.Fatal(err)
		}
		size := len(content)
		if a.packed != nil {
			size = len(a.packed)
		}
		all += size
		if first[name] || strings.HasSuffix(name, ".woff2") { // the style names the fonts
			total += size
		}
	}
	t.Logf("first view %d kB, all %d kB", total>>10, all>>10)
	if total > most {
		t.Errorf("the first view takes %d bytes, at most %d", total, most)
	}
	if all > 250<<10 {
		t.Errorf("the pages take %d bytes, at most %d", all, 250<<10)
	}
}

// imported finds what a script imports at once; what it imports when asked is `import(`.
var imported = regexp.MustCompile(`(?:from|import)\s*"\./([^"]+)"`)

// firstView is what index.html names, and what that imports.
func firstView(t *testing.T, index string) map[string]bool {
	t.Helper()
	assets, err := site()
	if err != nil {
		t.Fatal(err)
	}
	first := map[string]bool{}
	var take func(name string)
	take = func(name string) {
		a, known := assets[name]
		if !known || first[name] {
			return
		}
		first[name] = true
		content, err := a.plain()
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range imported.FindAllStringSubmatch(string(content), -1) {
			take("assets/" + found[1])
		}
	}
	for part := range strings.SplitSeq(index, `"`) {
		if name, is := strings.CutPrefix(part, "/ui/"); is {
			take(name)
		}
	}
	return first
}

// TestNothingOfTheBuildsMachine: no path of the machine that built the pages, and no other
// host that a browser would ask.
func TestNothingOfTheBuildsMachine(t *testing.T) {
	t.Parallel()
	assets, err := site()
	if err != nil {
		t.Fatal(err)
	}
	home, _ := os.Getwd()
	for name, a := range assets {
		content, err := a.plain()
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{home, "/work/", "sourceMappingURL", "node_modules/"} {
			if bad != "" && bytes.Contains(content, []byte(bad)) {
				t.Errorf("%s holds %q", name, bad)
			}
		}
	}
}

// TestDistIsWhole: what the page names lies in the program.
func TestDistIsWhole(t *testing.T) {
	t.Parallel()
	assets, err := site()
	if err != nil {
		t.Fatal(err)
	}
	index, err := assets["index.html"].plain()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.FieldsFunc(string(index), func(r rune) bool { return r == '"' }) {
		if name, is := strings.CutPrefix(part, "/ui/"); is {
			if _, known := assets[name]; !known {
				t.Errorf("index.html names %s, which is not there", name)
			}
		}
	}
}
