package sdk_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/search"
	"github.com/errand-dev/errand/server/internal/task"
)

// same reports how two lists differ, whatever their order.
func same[A, B ~string](t *testing.T, what string, clients []A, servers []B) {
	t.Helper()
	var a, b []string
	for _, v := range clients {
		a = append(a, string(v))
	}
	for _, v := range servers {
		b = append(b, string(v))
	}
	slices.Sort(a)
	slices.Sort(b)
	if !slices.Equal(a, b) {
		t.Errorf("the client's %s are\n%q, the server's\n%q", what, a, b)
	}
}

// declared is the constants of the client's, by type.
func declared(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, name := range []string{"status.go", "event.go", "errors.go", "search.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), "../../../"+name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, _ := n.(*ast.ValueSpec)
			if spec == nil || len(spec.Values) != 1 {
				return true
			}
			kind, typed := spec.Type.(*ast.Ident)
			if value, _ := spec.Values[0].(*ast.BasicLit); typed && value != nil {
				text, err := strconv.Unquote(value.Value)
				if err != nil {
					t.Error(err)
				}
				all[kind.Name] = append(all[kind.Name], text)
			}
			return true
		})
	}
	return all
}

// The client has the closed lists once more, so that it needs nothing of the
// server: they are the same, and so is what is said of each entry.
func TestListsAreTheServers(t *testing.T) {
	t.Parallel()
	constants := declared(t)
	if kinds := slices.Sorted(maps.Keys(constants)); !slices.Equal(kinds, []string{"CheckState", "Code", "EndReason", "EventType", "FoundIn", "Status"}) {
		t.Fatalf("there are constants of %q", kinds)
	}
	same(t, "declared statuses", constants["Status"], task.Statuses())
	same(t, "declared reasons", constants["EndReason"], task.EndReasons())
	same(t, "declared types of events", constants["EventType"], task.Types())
	same(t, "declared verdicts", constants["CheckState"], task.CheckStates())
	same(t, "declared parts", constants["FoundIn"], []search.Part{search.Title, search.Prompt, search.Result, search.Event})
	same(t, "declared codes", constants["Code"], fault.Codes())
	same(t, "statuses", errand.Statuses(), task.Statuses())
	same(t, "reasons", errand.EndReasons(), task.EndReasons())
	same(t, "types of events", errand.EventTypes(), task.Types())
	same(t, "codes", errand.Codes(), fault.Codes())
	for _, s := range append(task.Statuses(), "", "nonsense") {
		if c := errand.Status(s); c.Ends() != s.Ends() || c.Valid() != s.Valid() {
			t.Errorf("status %q: %t, %t", s, c.Ends(), c.Valid())
		}
	}
	for _, r := range append(task.EndReasons(), "", "nonsense") {
		c := errand.EndReason(r)
		if string(c.Status()) != string(r.Status()) {
			t.Errorf("reason %q leads to %q, to the server's %q", r, c.Status(), r.Status())
		}
		clients, err := c.MarshalJSON()
		servers, err2 := r.MarshalJSON()
		if string(clients) != string(servers) || err != nil || err2 != nil {
			t.Errorf("reason %q is %s, the server's %s; %v, %v", r, clients, servers, err, err2)
		}
	}
	for _, e := range append(task.Types(), "", "nonsense") {
		if c := errand.EventType(e); c.Writable() != e.Writable() || c.Valid() != e.Valid() {
			t.Errorf("event %q: %t, %t", e, c.Writable(), c.Valid())
		}
	}
	for _, c := range append(fault.Codes(), "", "nonsense") {
		if got := errand.Code(c).Status(); got != c.Status() {
			t.Errorf("code %q has status %d, the server's %d", c, got, c.Status())
		}
	}
	if errand.MaxEvent != task.MaxEvent {
		t.Errorf("an event may have %d bytes, the server's %d", errand.MaxEvent, task.MaxEvent)
	}
}

// An answer without a code has the one that its HTTP status stands for.
func TestStatusesAreTheServersCodes(t *testing.T) {
	t.Parallel()
	status := make(chan int, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(<-status) }))
	defer srv.Close()
	c, err := errand.NewClient(errand.WithURL(srv.URL), errand.WithKey("k"), errand.WithRetry(0))
	if err != nil {
		t.Fatal(err)
	}
	for s := 300; s < 600; s++ {
		if s == http.StatusNotModified {
			continue // it has no body, and none asks for it
		}
		status <- s
		_, err := c.Tasks.Get(t.Context(), "x")
		if got, want := errand.CodeOf(err), fault.FromStatus(s); string(got) != string(want) {
			t.Errorf("%d is read as %s, the server's is %s", s, got, want)
		}
	}
}
