package rules_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The words that were given up, in names and in doc comments. To hold was five things
// at once: to have a lease, to pause, to lock, to keep in memory, and to be an earlier
// attempt. A function returns; a server, a person or a handler answers.
var (
	stem    = regexp.MustCompile(`((^|_)(held|hold(s|er|ers|ing|over)?)|Held|Hold(s|er|ers|ing|over)?)([A-Z0-9_]|$)`)
	answers = regexp.MustCompile(`(^\w+|\band|\bor|\bIt) answers (the|its?|them|how|what|whether|whose|who|which|nil|false|true|nothing|behind)\b`)
	replies = regexp.MustCompile(`^(?i)\w*(answer|reply)\w* answers `)
)

// wording lists what a Go file says in words that were given up.
func wording(set *token.FileSet, file *ast.File) []string {
	var found []string
	report := func(at token.Pos, what string) { found = append(found, set.Position(at).String()+": "+what) }
	name := func(ids ...*ast.Ident) {
		for _, id := range ids {
			if id != nil && stem.MatchString(id.Name) && !strings.HasPrefix(id.Name, "Test") {
				report(id.Pos(), "the name "+id.Name+" says hold: say what it has, pauses, locks or keeps")
			}
		}
	}
	doc := func(text *ast.CommentGroup, returns *ast.FieldList) {
		said := strings.Join(strings.Fields(text.Text()), " ")
		if returns != nil && answers.MatchString(replies.ReplaceAllString(said, "")) {
			report(text.Pos(), "a function returns: "+answers.FindString(said))
		}
	}
	defined := func(all ...ast.Expr) {
		for _, x := range all {
			id, _ := x.(*ast.Ident)
			name(id)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			name(n.Name)
			doc(n.Doc, n.Type.Results)
		case *ast.TypeSpec:
			name(n.Name)
		case *ast.ValueSpec:
			name(n.Names...)
		case *ast.Field:
			name(n.Names...)
			if method, ok := n.Type.(*ast.FuncType); ok {
				doc(n.Doc, method.Results)
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				defined(n.Lhs...)
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				defined(n.Key, n.Value)
			}
		}
		return true
	})
	return found
}

// Names and doc comments have one word for one thing.
func TestLanguage(t *testing.T) {
	t.Parallel()
	root, files := repository(t), 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != root):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		files++
		for _, what := range wording(set, file) {
			t.Error(what)
		}
		return nil
	})
	if err != nil || files < 100 {
		t.Fatalf("%d files were read: %v", files, err)
	}
}

// What TestLanguage looks for is found.
func TestLanguageFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	const source = `package p

// Holder is who writes.
type Holder struct{ maxHeld int }

// find answers the first.
func find() int { isHeld := 0; return isHeld }

// count reads all and answers how
// many there are.
func count() int { return 0 }

// reply answers what was asked, and returns the rest. The threshold and the
// placeholder hold nothing.
func reply() (threshold, placeholder int) { return 0, 0 }

// serve answers the client.
func serve() {}
`
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "p.go", source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, what := range wording(set, file) {
		lines = append(lines, what[:strings.LastIndex(what, ": ")][:7])
	}
	if want := []string{"p.go:4:", "p.go:4:", "p.go:6:", "p.go:7:", "p.go:9:"}; !slices.Equal(lines, want) {
		t.Errorf("found %q, want %q", lines, want)
	}
}
