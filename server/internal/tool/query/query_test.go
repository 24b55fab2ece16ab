package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/tool"
)

func TestMain(m *testing.M) {
	if code, mine := Serve(os.Args[1:]); mine {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// given are files by their names.
func given(files ...string) []runtime.File {
	var list []runtime.File
	for i := 0; i+1 < len(files); i += 2 {
		content := files[i+1]
		list = append(list, runtime.File{Name: files[i], Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(content)), nil
		}})
	}
	return list
}

// run calls a tool over files.
func run(t *testing.T, files []runtime.File, name string, arguments any) tool.Result {
	t.Helper()
	// On a busy machine, with the race detector, a wide table takes longer than a model may wait.
	return runOf(t, source(limits{Time: 5 * time.Minute, Memory: 512}), files, name, arguments)
}

func runOf(t *testing.T, of tool.Source, files []runtime.File, name string, arguments any) tool.Result {
	t.Helper()
	tools, err := of(t.Context(), &runtime.Attempt{Files: files}, agent.Agent{})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(arguments)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tools {
		if x.Name == name {
			got, err := x.Run(t.Context(), tool.Call{Arguments: raw})
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
	}
	t.Fatalf("no tool %s", name)
	return tool.Result{}
}

func query(t *testing.T, files []runtime.File, sql string) tool.Result {
	t.Helper()
	return run(t, files, "query_tables", map[string]string{"sql": sql})
}

func sales(t *testing.T) []runtime.File {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "examples", "data", "sales_data.csv"))
	if err != nil {
		t.Fatal(err)
	}
	return given("sales_data.csv", string(content))
}

// TestQuery: values are what the report takes them for.
func TestQuery(t *testing.T) {
	t.Parallel()
	const odd = "day;Amount;amount;paid;code;note\n" +
		"31.12.2025;1.234,56 €;1;yes;007;\"a, \"\"b\"\"\"\n01.01.2026;-2,50 €;2;no;008;n/a\n02.01.2026;;3;;009; spaced \n"
	files := given("my file.csv", odd, "shop.json", `{"name": "x", "orders": [{"id": 1, "by": {"name": "A"}}, {"id": 2, "tags": [1, 2]}], "items": [{"sku": "a"}]}`,
		"log.jsonl", "{\"n\": 1}\n{\"n\": 2.5}\n", "1.csv", "a,b\n1,2\n", "sqlite_.tsv", "a\tb\nx\tz\n", "order.csv", "a,b\n1,2\n")
	for _, c := range []struct{ sql, want string }{
		{`SELECT day, Amount, "amount_2", paid, code, note FROM my_file`, "day,Amount,amount_2,paid,code,note\n2025-12-31,1234.56,1,1,007,\"a, \"\"b\"\"\"\n" +
			"2026-01-01,-2.5,2,0,008,NULL\n2026-01-02,NULL,3,NULL,009,spaced\n(3 rows)"},
		{"SELECT sum(amount), typeof(amount), typeof(code), date(day, '+1 day') FROM my_file WHERE day < '2026'", "sum(amount),typeof(amount),typeof(code),\"date(day, '+1 day')\"\n1234.56,real,text,2026-01-01\n(1 row)"},
		{"SELECT id, \"by.name\", tags FROM shop_orders -- all\n;\n ", "id,by.name,tags\n1,A,NULL\n2,NULL,list of 2\n(2 rows)"},
		{"SELECT count(*) AS n FROM shop_items, log", "n\n2\n(1 row)"},
		{"SELECT n FROM log", "n\n1\n2.5\n(2 rows)"},
		{"WITH x AS (SELECT a FROM t_1) SELECT * FROM x, sqlite", "a,a,b\n1,x,z\n(1 row)"},
		{"SELECT a FROM \"order\"", "a\n1\n(1 row)"},
		{"SELECT 0.1 + 0.2, 1e300, 1.0, 2, '', 'NULL', NULL, x'00ff', 'a;b'", "0.1 + 0.2,1e300,1.0,2,'','NULL',\"NULL\",x'00ff','a;b'\n0.3,1e+300,1,2,\"\",\"NULL\",NULL,x'00ff',a;b\n(1 row)"},
		{"VALUES (1), (2)", "column1\n1\n2\n(2 rows)"},
	} {
		if got := query(t, files, c.sql); got.IsError || got.Text != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.sql, got.IsError, got.Text, c.want)
		}
	}
}

// TestQueryAgreesWithTheReport: on the numbers that the report of the same file has.
func TestQueryAgreesWithTheReport(t *testing.T) {
	t.Parallel()
	files := sales(t)
	got := run(t, files, "list_tables", map[string]string{})
	for _, part := range []string{`Table "sales_data", from sales_data.csv: 240 rows`, "Its first rows:\n2"} {
		if got.IsError || !strings.Contains(got.Text, part) {
			t.Errorf("no %q in\n%s", part, got.Text)
		}
	}
	if got := query(t, files, "SELECT sum(revenue), sum(units), count(customer_type), min(date) FROM sales_data"); got.Text !=
		"sum(revenue),sum(units),count(customer_type),min(date)\n146243.03,1573,235,2025-01-02\n(1 row)" {
		t.Errorf("%s", got.Text)
	}
}

// TestQueryAgreesOnWhatIsNoRow: what the report leaves out is no row for SQL either,
// and a table that is too wide for SQL says so.
func TestQueryAgreesOnWhatIsNoRow(t *testing.T) {
	t.Parallel()
	var wide strings.Builder
	for i := range maxColumns + 5 {
		fmt.Fprintf(&wide, "c%d,", i)
	}
	wide.WriteString("last\n" + strings.Repeat("1,", maxColumns+5) + "1\n")
	files := given("shop.csv", "Sales of May\n\nregion,day,amount\nNorth,2026-05-01,1.5\nSouth,2026-05-02,2\nTotal,,3.5\n\nMade by hand\n",
		"two.csv", "a,b\nx,1\ny,2\n\nc,d,e\nz,3,4\nz,3,4\n", "wide.csv", wide.String(), "n.json", `[{"a": NaN}, {"a": 2}]`)
	for _, c := range []struct{ sql, want string }{
		{"SELECT count(*), sum(amount) FROM shop", "count(*),sum(amount)\n2,3.5\n(1 row)"},
		{"SELECT sum(b), (SELECT sum(e) FROM two_table_2) AS e FROM two_table_1", "sum(b),e\n3,8\n(1 row)"},
		{"SELECT c999 FROM wide", "c999\n1\n(1 row)"},
		{"SELECT a FROM n", "a\nNULL\n2\n(2 rows)"},
	} {
		if got := query(t, files, c.sql); got.IsError || got.Text != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.sql, got.IsError, got.Text, c.want)
		}
	}
	if got := run(t, files, "list_tables", map[string]string{}); !strings.Contains(got.Text, "Only its first 1000 columns are here, 6 more are not.") {
		t.Errorf("of a wide table: %.300s", got.Text)
	}
}

// TestRefused: nothing but one SELECT, and nothing that reaches beyond the tables.
func TestRefused(t *testing.T) {
	t.Parallel()
	files := given("a.csv", "x,y\n1,2\n")
	elsewhere := filepath.Join(t.TempDir(), "x.db")
	for _, c := range []struct{ sql, says string }{
		{"", "empty"},
		{" ; -- nothing\n/* at all */", "empty"},
		{"SELECT 1; SELECT 2", "one SELECT at a time"},
		{"SELECT 1; DROP TABLE a", "one SELECT at a time"},
		{"SELECT ';' ; /* ; */ x", "one SELECT at a time"},
		{"ATTACH '" + elsewhere + "' AS e", "one SELECT"},
		{"DETACH main", "one SELECT"},
		{"PRAGMA query_only = OFF", "one SELECT"},
		{"PRAGMA database_list", "one SELECT"},
		{"SELECT * FROM pragma_database_list", "one SELECT"},
		{"SELECT * FROM pragma_table_info('a')", "one SELECT"},
		{"VACUUM", "one SELECT"},
		{"VACUUM INTO '" + elsewhere + "'", "one SELECT"},
		{"SELECT load_extension('x')", "one SELECT"},
		{"SELECT errand_value(0, '1')", "one SELECT"},
		{"INSERT INTO a VALUES (1, 2)", "one SELECT"},
		{"INSERT INTO a VALUES (1, 2) RETURNING x", "one SELECT"},
		{"WITH z AS (SELECT 1) DELETE FROM a", "one SELECT"},
		{"UPDATE a SET x = 2", "one SELECT"},
		{"REPLACE INTO a VALUES (1, 2)", "one SELECT"},
		{"CREATE TABLE b (x)", "one SELECT"},
		{"CREATE TEMP TABLE b AS SELECT 1", "one SELECT"},
		{"CREATE VIRTUAL TABLE b USING fts5(x)", "one SELECT"},
		{"CREATE VIEW b AS SELECT 1", "one SELECT"},
		{"DROP TABLE a", "one SELECT"},
		{"ALTER TABLE a ADD COLUMN z", "one SELECT"},
		{"BEGIN", "one SELECT"},
		{"COMMIT", "one SELECT"},
		{"SAVEPOINT s", "one SELECT"},
		{"REINDEX", "one SELECT"},
		{"ANALYZE", "one SELECT"},
		{"SELECT readfile('/etc/passwd')", "no such function"},
		{"SELECT writefile('" + elsewhere + "', 'x')", "no such function"},
		{"SELECT * FROM b", `There are: "a" ("x", "y")`},
		{"SELECT z FROM a", `There are: "a" ("x", "y")`},
		{"SELECT", "incomplete input"},
		{"SELECT x FROM a WHERE", "incomplete input"},
		{"SELECT 'a\x00b'", "NUL"},
		{strings.Repeat("(", 3000), ""},
		{"SELECT " + strings.Repeat("x", maxSQL), "longer than"},
	} {
		got := query(t, files, c.sql)
		if !got.IsError || !strings.Contains(got.Text, c.says) || strings.Contains(got.Text, "root:") {
			t.Errorf("%s: %v %s", c.sql[:min(len(c.sql), 80)], got.IsError, got.Text)
		}
	}
	if _, err := os.Stat(elsewhere); err == nil {
		t.Error("a query has written a file")
	}
}

// TestBounded: results are cut and say so; memory and time end a query, and the next one
// is as good as ever.
func TestBounded(t *testing.T) {
	t.Parallel()
	files := given("a.csv", "x,y\n1,2\n")
	const many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) SELECT i FROM n"
	if got := query(t, files, many); got.IsError || strings.Count(got.Text, "\n") != maxRows+1 || !strings.Contains(got.Text, "only the first 500 rows are shown") {
		t.Errorf("many rows: %v, %d lines, %s", got.IsError, strings.Count(got.Text, "\n"), got.Text[max(0, len(got.Text)-200):])
	}
	if got := query(t, files, "SELECT hex(randomblob(1000)) AS h FROM ("+many+") LIMIT 100"); got.IsError || len(got.Text) > tool.MaxResult || !strings.Contains(got.Text, "and there are more") {
		t.Errorf("long rows: %v, %d bytes", got.IsError, len(got.Text))
	}
	if got := query(t, files, "SELECT printf('%.*c', 10000, 'ä')"); got.IsError || len(got.Text) > maxCell+200 || !strings.Contains(got.Text, "values are cut at 4096 bytes") {
		t.Errorf("a long value: %v, %d bytes", got.IsError, len(got.Text))
	}
	small := source(limits{Time: time.Minute, Memory: 64})
	for _, c := range []struct{ sql, says string }{
		{"SELECT length(randomblob(1000000000))", "too big"},
		{"SELECT count(*) FROM (SELECT DISTINCT i || zeroblob(4000000) FROM (" + many + "))", "more than 64 MiB of memory"},
	} {
		if got := runOf(t, small, files, "query_tables", map[string]string{"sql": c.sql}); !got.IsError || !strings.Contains(got.Text, c.says) {
			t.Errorf("%s: %v %.200s", c.sql, got.IsError, got.Text)
		}
	}
	slow := source(limits{Time: 2 * time.Second, Memory: 512})
	const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
	if got := runOf(t, slow, files, "query_tables", map[string]string{"sql": endless}); !got.IsError || got.Text != "the query took longer than 2s: ask for less" {
		t.Errorf("a query without an end: %v %.200s", got.IsError, got.Text)
	}
	large := given("a.csv", strings.Repeat("some words that are long enough,and others\n", 1_000_000))
	if got := runOf(t, small, large, "query_tables", map[string]string{"sql": "SELECT 1 FROM a"}); !got.IsError || !strings.Contains(got.Text, "ask for less") {
		t.Errorf("a large file: %v %.200s", got.IsError, got.Text)
	}
	if got := query(t, files, "SELECT x FROM a"); got.Text != "x\n1\n(1 row)" {
		t.Errorf("afterwards: %s", got.Text)
	}
}

// TestFiles: what has no tables is told, and what cannot be read.
func TestFiles(t *testing.T) {
	t.Parallel()
	if got := run(t, nil, "list_tables", map[string]string{}); !got.IsError {
		t.Errorf("no files: %s", got.Text)
	}
	files := given("a.txt", "hello", "b.png", "\x89PNG\r\n\x1a\n", "c.json", "[", "d.csv", "", "e.csv", "x,y\n1,2\n3\n")
	got := run(t, files, "list_tables", map[string]string{})
	for _, part := range []string{"The file a.txt: it is plain text and has no tables.", "The file b.png: it is image/png and has no tables.", `Table "e", from e.csv: 2 rows`, "Note: 1 row has fewer fields"} {
		if got.IsError || !strings.Contains(got.Text, part) {
			t.Errorf("no %q in\n%s", part, got.Text)
		}
	}
	files = append(files, runtime.File{Name: "f.csv", Open: func(context.Context) (io.ReadCloser, error) { return nil, errors.New("it is gone") }})
	if got := query(t, files, "SELECT x FROM e"); got.IsError {
		t.Errorf("a file that the query is not about: %s", got.Text)
	}
	if got := query(t, files, "SELECT x FROM f"); !got.IsError || got.Text != "The file f.csv could not be read: it is gone" {
		t.Errorf("a file that cannot be read: %s", got.Text)
	}
	huge := runtime.File{Name: "h.csv", Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(endless{}), nil }}
	if got := query(t, []runtime.File{huge}, "SELECT 1 FROM h"); !got.IsError || !strings.Contains(got.Text, "too large") {
		t.Errorf("a file without an end: %s", got.Text)
	}
}

// endless is a file without an end, of one cell.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestStopped: the end of the attempt ends its query.
func TestStopped(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	began := make(chan struct{})
	f := runtime.File{Name: "a.csv", Open: func(context.Context) (io.ReadCloser, error) {
		close(began)
		return io.NopCloser(strings.NewReader("x,y\n1,2\n")), nil
	}}
	tools, err := New()(ctx, &runtime.Attempt{Files: []runtime.File{f}}, agent.Agent{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-began
		cancel()
	}()
	got, err := tools[1].Run(ctx, tool.Call{Arguments: json.RawMessage(`{"sql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n, a"}`)})
	if err == nil {
		t.Errorf("%+v", got)
	}
}
