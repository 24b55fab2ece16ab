// Package rules_test holds docs/RULES.md and what cites it together. A rule's
// number that is cited anywhere stands there, and each rule that stands there
// is cited by a test, unless the page says that it is not built. Run it with
// -count=1: go test does not see changes of files outside this module.
package rules_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What a citation looks like; TestCitations has examples. Anything else that
// looks like a number of a rule, such as S3-compatible or A4 paper, is none.
const (
	number = `[STLXAHCDOB][0-9]{1,2}b?\b`
	listed = number + `(?:,\s+` + number + `)*`
)

var (
	// In a sentence: rule L5, rules S4 and S5, rules L4 to L10, rules T3, T4.
	inWords = regexp.MustCompile(`\b[Rr]ules?\s+(` + number + `(?:(?:,|,?\s+and|\s+to)\s+` + number + `)*)`)
	// In brackets: (L9), (L4, L9), (S4, sparse), (T3: gapless).
	inBrackets = regexp.MustCompile(`\((` + listed + `)(?:\)|[,:]\s)`)
	// At the beginning of a comment or of a message: "H4, H3: a repeat".
	inFront = regexp.MustCompile(`^(` + listed + `)(?::\s| \(-want)`)
	// At the beginning of a subtest's name: "S7 none by default".
	inSubtest = regexp.MustCompile(`^(` + listed + `)(?:\s|:|$)`)
	// At the beginning of a test's name: TestT1bOldWritesChangeNothing.
	inName = regexp.MustCompile(`^(?:Test|Fuzz|Benchmark)([STLXAHCDOB][0-9]{1,2}b?)(?:[A-Z_]|$)`)

	single = regexp.MustCompile(number)
	span   = regexp.MustCompile(`(` + number + `)\s+to\s+(` + number + `)`)
	// What begins a line of text that is a comment.
	comment = regexp.MustCompile(`(?m)^\s*(?:#+|--|>|-)?\s*`)

	heading = regexp.MustCompile(`^### ([A-Z]+[0-9]+[a-z]?)\. .`)
)

const (
	page      = "docs/RULES.md"
	marker    = "*not built*"
	something = "not built"
)

// rule is one that the page has.
type rule struct {
	number  string
	unbuilt bool // the whole of it
}

// citation is where a number stands.
type citation struct {
	number string
	where  string
	// test says that a test cites it, by its name, the name of a subtest, or
	// a comment in its file.
	test bool
}

func TestRules(t *testing.T) {
	t.Parallel()
	root := repository(t)
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	rules, wrong := read(string(text))
	for _, w := range wrong {
		t.Error(w)
	}
	cited, err := scan(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(rules) == 0 || len(cited) == 0 {
		t.Fatalf("found %d rules and %d citations", len(rules), len(cited))
	}
	for _, w := range compare(rules, cited) {
		t.Error(w)
	}
}

// read finds the rules of the page, and what is wrong with it.
func read(text string) (rules []rule, wrong []string) {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		at := fmt.Sprintf("%s:%d: ", page, i+1)
		if strings.Count(line, something) != strings.Count(line, marker) || strings.HasSuffix(line, "*not") {
			wrong = append(wrong, at+"write the marker as "+marker+", on one line, so that a search finds it")
		}
		if !strings.HasPrefix(line, "### ") {
			continue
		}
		m := heading.FindStringSubmatch(line)
		if m == nil || single.FindString(m[1]) != m[1] {
			wrong = append(wrong, at+"a rule's heading is ### NUMBER. Title")
			continue
		}
		if slices.ContainsFunc(rules, func(r rule) bool { return r.number == m[1] }) {
			wrong = append(wrong, at+"rule "+m[1]+" is there twice")
		}
		rules = append(rules, rule{m[1], i+2 < len(lines) && lines[i+2] == marker})
	}
	return rules, wrong
}

// compare tells what the page lacks, what the tests lack, and what is built
// although the page says that it is not.
func compare(rules []rule, cited []citation) (wrong []string) {
	known, tests := map[string]bool{}, map[string]string{}
	for _, r := range rules {
		known[r.number] = true
	}
	for _, c := range cited {
		if !known[c.number] {
			wrong = append(wrong, fmt.Sprintf("%s cites rule %s, which %s does not have", c.where, c.number, page))
		}
		if c.test && tests[c.number] == "" {
			tests[c.number] = c.where
		}
	}
	for _, r := range rules {
		switch where := tests[r.number]; {
		case where == "" && !r.unbuilt:
			wrong = append(wrong, fmt.Sprintf("no test cites rule %s: name it in the one that covers it, or mark it %s in %s", r.number, marker, page))
		case where != "" && r.unbuilt:
			wrong = append(wrong, fmt.Sprintf("%s cites rule %s, which %s marks as a whole %s", where, r.number, page, marker))
		}
	}
	return wrong
}

// scan finds the citations in all source and documents of the repository.
func scan(root string) (cited []citation, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || slices.Contains([]string{"bin", "testdata", "node_modules", "__pycache__"}, name)) {
				return filepath.SkipDir
			}
			return nil
		}
		where, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		where = filepath.ToSlash(where)
		switch filepath.Ext(name) {
		case ".go":
			found, err := inGo(path, where)
			cited = append(cited, found...)
			return err
		case ".py", ".sql", ".md":
			if where == page {
				return nil
			}
			text, err := os.ReadFile(path)
			cited = append(cited, inText(string(text), where)...)
			return err
		}
		return nil
	})
	return cited, err
}

// inText finds the citations in Python, SQL and Markdown.
func inText(text, where string) []citation {
	test := strings.HasSuffix(where, "_test.py")
	var cited []citation
	text = comment.ReplaceAllString(text, "") // a sentence goes on in the next line
	for _, n := range sentence(text) {
		cited = append(cited, citation{n, where, test})
	}
	return cited
}

// inGo finds the citations in Go: in comments, in the names of tests and
// subtests, and in what tests say.
func inGo(path, where string) ([]citation, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	isTest := strings.HasSuffix(path, "_test.go")
	var cited []citation
	note := func(at token.Pos, test bool, numbers ...string) {
		for _, n := range numbers {
			cited = append(cited, citation{n, fmt.Sprintf("%s:%d", where, set.Position(at).Line), test && isTest})
		}
	}
	for _, group := range file.Comments {
		note(group.Pos(), true, append(sentence(group.Text()), numbers(inFront, group.Text())...)...)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil && isTest {
				note(n.Pos(), true, numbers(inName, n.Name.Name)...)
			}
		case *ast.CallExpr:
			if text, verb := said(n); verb == "Run" {
				note(n.Pos(), true, numbers(inSubtest, text)...)
			} else if isTest && slices.Contains([]string{"Error", "Errorf", "Fatal", "Fatalf", "Log", "Logf", "Skip", "Skipf"}, verb) {
				note(n.Pos(), false, numbers(inBrackets, text)...)
			}
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && isTest && n.Kind == token.STRING {
				note(n.Pos(), false, numbers(inFront, text)...)
			}
		}
		return true
	})
	return cited, nil
}

// said is the text with which the first argument of a method's call begins,
// and the method's name.
func said(call *ast.CallExpr) (text, verb string) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return "", ""
	}
	first := call.Args[0]
	for sum, ok := first.(*ast.BinaryExpr); ok; sum, ok = first.(*ast.BinaryExpr) {
		first = sum.X
	}
	if lit, ok := first.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		text, _ = strconv.Unquote(lit.Value) // it was parsed
	}
	return text, method.Sel.Name
}

// sentence finds the numbers that a text cites in words or brackets.
func sentence(text string) []string {
	return append(numbers(inWords, text), numbers(inBrackets, text)...)
}

// numbers finds those that match, and those between two with "to" between them.
func numbers(form *regexp.Regexp, text string) []string {
	var found []string
	for _, m := range form.FindAllStringSubmatch(text, -1) {
		found = append(found, single.FindAllString(m[1], -1)...)
		for _, s := range span.FindAllStringSubmatch(m[1], -1) {
			from, errFrom := strconv.Atoi(s[1][1:])
			to, errTo := strconv.Atoi(s[2][1:])
			if s[1][0] != s[2][0] || errors.Join(errFrom, errTo) != nil {
				continue
			}
			for n := from + 1; n < to; n++ {
				found = append(found, fmt.Sprintf("%c%d", s[1][0], n))
			}
		}
	}
	return found
}

// repository is its root.
func repository(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, page)); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatalf("no %s above the working folder", page)
		}
		dir = parent
	}
}

// TestCitations shows what a citation looks like, and what does not count.
func TestCitations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"as rule L5 says":                       "L5",
		"Rule L6's sum":                         "L6",
		"(rules S4, S5)":                        "S4 S5",
		"(rules L2,\nX2)":                       "L2 X2",
		"(rules C1 to C4)":                      "C1 C4 C2 C3",
		"Rules S1, T3 and L3":                   "S1 T3 L3",
		"until it lets go (L10).":               "L10",
		"nothing is handed out (T1b)":           "T1b",
		"what it may have (L4, L9)":             "L4 L9",
		"(S4, sparse) and (T3: gapless)":        "S4 T3",
		"S3-compatible storage (S3-compatible)": "",
		"<h2>, H2 of a page, A4 paper":          "",
		"route R16 (R16), rule R16":             "",
		"X11, B2B (B2B), C99 (C99-like)":        "",
		"the cells A1:B2 and Q1 (Q1)":           "",
	} {
		if got := strings.Join(sentence(text), " "); got != want {
			t.Errorf("in %q: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"H4, H3: a repeat answers": "H4 H3", "C2 (-want +got):": "C2", "A4 paper": "", "A1:B2": "",
	} {
		if got := strings.Join(numbers(inFront, text), " "); got != want {
			t.Errorf("in front of %q: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{"S7 none by default": "S7", "T6": "T6", "S3-compatible": "", "L2full": ""} {
		if got := strings.Join(numbers(inSubtest, text), " "); got != want {
			t.Errorf("subtest %q: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"TestS4SparseBody": "S4", "TestT1bOldWrites": "T1b", "TestL10LettingGo": "L10", "FuzzT4Fold": "T4", "TestS3compatible": "", "TestA": "",
	} {
		if got := strings.Join(numbers(inName, text), " "); got != want {
			t.Errorf("name %s: %q, want %q", text, got, want)
		}
	}
}

// TestWhatIsFound shows that each mistake is told.
func TestWhatIsFound(t *testing.T) {
	t.Parallel()
	good := "### S1. Statuses\n\nText.\n\n### O1. Files\n\n*not built*\n\nText. *not built* More.\n"
	cited := []citation{{"S1", "a_test.go:1", true}, {"O1", "a.go:1", false}}
	for name, c := range map[string]struct {
		text  string
		cited []citation
		wrong int
	}{
		"nothing":                  {good, cited, 0},
		"an unknown number":        {good, append(slices.Clone(cited), citation{"S9", "docs/A.md", false}), 1},
		"no test":                  {good, cited[1:], 1},
		"a comment is not a test":  {good, []citation{{"S1", "a.go:1", false}}, 1},
		"a test of what is not":    {good, append(slices.Clone(cited), citation{"O1", "a_test.go:2", true}), 1},
		"a rule twice":             {good + "### S1. Again\n", cited, 1},
		"a heading without number": {good + "### More\n", cited, 1},
		"a marker without stars":   {good + "This is not built.\n", cited, 1},
		"a marker on two lines":    {good + "Text. *not\nbuilt* More.\n", cited, 1},
	} {
		rules, wrong := read(c.text)
		if wrong = append(wrong, compare(rules, c.cited)...); len(wrong) != c.wrong {
			t.Errorf("%s: %q", name, wrong)
		}
	}
	if rules, _ := read(good); !slices.Equal(rules, []rule{{"S1", false}, {"O1", true}}) {
		t.Errorf("read %v", rules)
	}
}
