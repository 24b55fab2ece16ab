package profile

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

func TestRunWithoutFiles(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	done, err := New().Run(t.Context(), asked(rec, "hello"))
	if err != nil || done.Reason != task.EndFailed {
		t.Fatalf("got %+v and error %v, want that it failed", done, err)
	}
	wantParts(t, done.Result, `errand run --file data.csv "`)
	if len(rec.chunks) > 0 {
		t.Errorf("sent %q, want nothing", rec.chunks)
	}
}

func lostFile(name string) runtime.File {
	return runtime.File{Name: name, Open: func(context.Context) (io.ReadCloser, error) {
		return nil, &fs.PathError{Op: "open", Path: "/secret/place", Err: fs.ErrNotExist}
	}}
}

func TestRunWhenNoFileOpens(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	done, err := New().Run(t.Context(), asked(rec, "", lostFile("a.csv"), lostFile("b.csv")))
	if err != nil || done.Reason != task.EndFailed {
		t.Fatalf("got %+v and error %v, want that it failed", done, err)
	}
	wantParts(t, done.Result, "a.csv (file does not exist); b.csv (file does not exist)")
	if strings.Contains(done.Result, "secret") {
		t.Errorf("the message tells a path of the server: %s", done.Result)
	}
	if len(rec.chunks) > 0 {
		t.Errorf("sent %q, want nothing", rec.chunks)
	}
}

func TestRunGoesOnAfterBadFiles(t *testing.T) {
	t.Parallel()
	broken := runtime.File{Name: "broken.csv", Open: func(context.Context) (io.ReadCloser, error) {
		half := io.MultiReader(strings.NewReader("a,b\n1,2\n"), iotest.ErrReader(errors.New("disk on fire")))
		return io.NopCloser(half), nil
	}}
	text, _ := profileFiles(t, lostFile("lost.csv"), broken,
		writeFile(t, "bad.json", "{oops"), writeFile(t, "good.csv", "x,y\n1,2\n3,4\n"))
	wantParts(t, text,
		"## lost.csv\n\nNot analysed: the file could not be opened: file does not exist.",
		"## broken.csv\n\n**1 row** in **2 columns**",
		"could be read only up to 8 bytes: disk on fire.",
		"## bad.json",
		"## good.csv\n\n**2 rows** in **2 columns**",
	)
	if strings.Contains(text, "secret") {
		t.Error("the report tells a path of the server")
	}
}

// bigRows is the content of a file with a header and rows of 1 KiB.
func bigRows(size int) string {
	return "a,b\n" + strings.Repeat("1,"+strings.Repeat(" ", 1020)+"2"+"\n", size>>10)
}

func TestRunEndsWithTheContext(t *testing.T) {
	t.Parallel()
	big := writeFile(t, "big.csv", bigRows(2*bytesPerStatus))
	tests := []struct {
		name  string
		after int // How many reports pass before the context ends.
	}{
		{"before it starts", 0},
		{"before a file is opened", 1},
		{"while a file is read", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			reports := 0
			rec := &recorder{hook: func() error {
				if reports++; reports >= tt.after {
					cancel()
				}
				return nil
			}}
			if tt.after == 0 {
				cancel()
			}
			_, err := New().Run(ctx, asked(rec, "", big))
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got error %v, want %v", err, context.Canceled)
			}
			if reports > tt.after {
				t.Errorf("%d reports, want %d", reports, tt.after)
			}
		})
	}
}

func TestRunStopsWhenTheReporterFails(t *testing.T) {
	t.Parallel()
	errStopped := errors.New("attempt superseded")
	files := []runtime.File{
		writeFile(t, "a.csv", "a,b\n1,2\n"+strings.Repeat("\n", bytesPerStatus)+"3,4\n"),
		writeFile(t, "b.json", `[{"a":1}]`),
		writeFile(t, "c.json", `{"list":[{"a":1}]}`),
		writeFile(t, "d.jsonl", `{"a":1}`),
	}
	_, all := profileFiles(t, files...)
	for allowed := range len(all.statuses) + len(all.chunks) {
		reports := 0
		rec := &recorder{hook: func() error {
			if reports++; reports > allowed {
				return errStopped
			}
			return nil
		}}
		_, err := New().Run(t.Context(), asked(rec, "p", files...))
		if !errors.Is(err, errStopped) || reports != allowed+1 {
			t.Errorf("after %d reports: %d more and error %v, want one more and %v",
				allowed, reports-allowed, err, errStopped)
		}
	}
}

func TestRunReportsProgress(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 300) + "\xff\x00.csv"
	rows := bigRows(3 * bytesPerStatus)
	onDisk := writeFile(t, long, rows)
	fetched := runtime.File{Name: "far.csv", Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(rows)), nil
	}}
	text := writeFile(t, "a.txt", strings.Repeat("some words\n", bytesPerStatus/8))
	_, rec := profileFiles(t, onDisk, fetched, text)
	// The rows that have been read but not parsed yet are not counted, nor those that
	// are looked at first.
	want := []string{
		"Reading ää", "…: 33%", "…: 1,983 rows, 66%", "…: 3,007 rows, 99%", "…: 3,072 rows",
		"Reading far.csv", "far.csv: 1 MiB", "far.csv: 1,983 rows, 2 MiB", "far.csv: 3,007 rows, 3 MiB",
		"far.csv: 3,072 rows", "Reading a.txt", "a.txt: 72%",
	}
	if len(rec.statuses) != len(want) {
		t.Fatalf("got statuses %q, want %d", rec.statuses, len(want))
	}
	for i, part := range want {
		wantParts(t, rec.statuses[i], part)
	}
}

func TestRunSplitsLargeSections(t *testing.T) {
	t.Parallel()
	var header, row strings.Builder
	for i := range maxColumns + 50 {
		header.WriteString(strings.Repeat("n", 40) + humanInt(i) + ";")
		row.WriteString(strconv.Itoa(i) + ";")
	}
	content := header.String() + "\n" + strings.Repeat(row.String()+"\n", 3)
	text, rec := profileFiles(t, writeFile(t, "wide.csv", content))
	if len(rec.chunks) < 3 {
		t.Errorf("got %d chunks for %d bytes, want several", len(rec.chunks), len(text))
	}
	wantParts(t, text, "**3 rows** in **5,051 columns**", "Only the first 5,000 columns of 5,051 are profiled.")
}

// Values that are shown alike and add up alike still have an order.
func TestRunIsDeterministicWithLongNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxKey)
	rows := ""
	for i, ending := range []string{"a", "b", "c", "d", "e"} {
		rows += strings.Repeat(long+ending+",5,"+strconv.Itoa(i)+"\n", 5)
	}
	file := writeFile(t, "long.csv", "name,revenue,units\n"+rows)
	first, _ := profileFiles(t, file)
	wantParts(t, first, "Totals of revenue and units by name")
	for range 10 {
		if again, _ := profileFiles(t, file); again != first {
			t.Fatalf("two reports differ:\n%s\n%s", first, again)
		}
	}
}

func TestRunIsDeterministic(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "ties.csv", "k,v\n"+strings.Repeat("b,1\na,2\nd,3\nc,4\n", 5))
	first, _ := profileFiles(t, file)
	for range 10 {
		if again, _ := profileFiles(t, file); again != first {
			t.Fatalf("two reports differ:\n%s\n%s", first, again)
		}
	}
	wantParts(t, first, "| a | 5 | 25.0% |\n| b | 5 | 25.0% |\n| c | 5 |")
}

func TestRunQuotesThePrompt(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	done, err := (&Runner{}).Run(t.Context(), asked(rec, "Analyze\nthe <b>sales</b> | data", writeFile(t, "a.csv", "a\n1\n")))
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	want := "# Data profile\n\n> “Analyze the &lt;b&gt;sales&lt;/b&gt; \\| data”\n\nThese figures were computed from 1 file. No model was used"
	if !strings.HasPrefix(done.Result, want) {
		t.Errorf("the report starts with %.200q, want %q", done.Result, want)
	}
}
