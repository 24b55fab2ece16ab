package profile

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// maxKept is how much of what was read is kept with the task, in bytes of a text or
	// of all tables together.
	maxKept = 64 << 10
	// maxTablesKept is of how many tables rows are kept.
	maxTablesKept = 100
)

// kept is the beginning of what the report is given of a file.
type kept struct {
	src  *source
	rows []*csvRows // by the tables' numbers
	size int        // of those
}

// csvRows are the first rows of a table.
type csvRows struct {
	text    bytes.Buffer
	columns []string
	count   int
}

// keep keeps the first rows of a file's tables while it is read.
func keep(src *source) *kept {
	k := &kept{src: src}
	src.load = newLoader(k.row, func(error) {})
	return k
}

func (k *kept) row(n int, columns []string, cells []any) error {
	for len(k.rows) <= n {
		k.rows = append(k.rows, &csvRows{})
	}
	if k.size >= maxKept || n >= maxTablesKept {
		k.src.load.full = true
		return nil
	}
	rows := k.rows[n]
	rows.columns = columns
	record := make([]string, len(cells))
	for i, c := range cells {
		record[i], _ = c.(string) // what is missing is empty
	}
	before := rows.text.Len()
	w := csv.NewWriter(&rows.text)
	_ = w.Write(record) // in memory
	w.Flush()
	rows.count++
	k.size += rows.text.Len() - before
	return nil
}

// given is what the report was given of the file, which has been read.
func (k *kept) given(name string) runtime.Given {
	g := runtime.Given{Given: task.Given{Name: name, Size: k.src.size(), ContentType: TypeOf(k.src.magic, name)}}
	var text bytes.Buffer
	for n, t := range k.src.load.tables {
		if len(t.Columns) == 0 || len(g.Parts) == maxTablesKept {
			continue
		}
		p := task.GivenPart{As: task.AsTable, Name: t.Name, Rows: t.Rows, Columns: len(t.Columns), From: text.Len(), Headed: true}
		shown := 0
		if n < len(k.rows) {
			shown = k.rows[n].count
			w := csv.NewWriter(&text)
			_ = w.Write(k.rows[n].columns)
			w.Flush()
			text.Write(k.rows[n].text.Bytes())
		}
		if p.To = text.Len(); shown < t.Rows {
			p.Why = fmt.Sprintf("All of it was read; the first %s are kept.", plural(shown, "row"))
		}
		g.Parts = append(g.Parts, p)
	}
	if g.Content = text.String(); len(g.Parts) > 0 {
		return g
	}
	if g.Parts = []task.GivenPart{{As: task.AsNothing}}; k.src.unread && k.src.size() > 0 {
		g.Parts[0].Why = "It is of a kind that is not analysed: " + k.src.kind() + "."
		return g
	}
	p := &g.Parts[0]
	g.Content = string(bytes.ToValidUTF8(k.src.head, []byte("\uFFFD")))
	if p.As = task.AsText; k.src.whole() {
		p.Chars = utf8.RuneCountInString(g.Content)
	} else {
		p.Why = fmt.Sprintf("All of it was read; the first %d bytes are kept.", len(g.Content))
	}
	if g.Content == "" {
		p.As, p.Why = task.AsNothing, "It is empty."
	}
	return g
}

// kind is what a file is that is not analysed.
func (s *source) kind() string {
	if why := s.content.Unread; why != nil {
		return why.What
	}
	return sniffMediaType(s.sample)
}
