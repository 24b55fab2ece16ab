package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	// maxKeys is how many keys of a JSON object are listed.
	maxKeys = 200
	// maxLists is how many lists within a JSON object are profiled.
	maxLists = 5
	// maxListDepth is how deep a list may be within objects.
	maxListDepth = 8
	// valueColumn holds the elements of a list that are no objects.
	valueColumn = "value"
)

// jsonRows turns the elements of a list into the rows of a table.
type jsonRows struct {
	table   *table
	row     []string
	objects int  // How many elements are objects.
	dropped bool // Some column did not fit the table.
}

func newJSONRows(src *source) *jsonRows { return &jsonRows{table: src.newTable()} }

// set stores a cell of the current row, adding its column if it is new.
func (r *jsonRows) set(path, cell string) {
	path = plain(path)
	i, known := r.table.byName[path]
	if !known {
		if len(r.table.columns) >= maxColumns {
			r.dropped = true
			return
		}
		i = len(r.table.columns)
		r.table.addColumn(path, numberFormat{})
		// An empty path was given a name, but comes again without one.
		r.table.byName[path] = i
	}
	for len(r.row) <= i {
		r.row = append(r.row, "")
	}
	r.row[i] = cell
}

// add reads the element whose first token has been read.
func (r *jsonRows) add(j *jsonReader, first json.Token, line int) error {
	clear(r.row)
	r.row = r.row[:0]
	if first == json.Delim('{') {
		if err := j.object("", 1, r.set); err != nil {
			return err
		}
		r.objects++
	} else {
		elements, err := j.rest(first)
		if err != nil {
			return err
		}
		r.set(valueColumn, cellOf(first, elements))
	}
	r.table.add(r.row, line)
	return nil
}

func (r *jsonRows) notes() []string {
	if !r.dropped {
		return nil
	}
	return []string{fmt.Sprintf("Only the first %s are profiled.", plural(maxColumns, "column"))}
}

// jsonFile is a JSON file as far as it has been read.
type jsonFile struct {
	*jsonReader
	src   *source
	lines *lineCounter
	words *wordFilter
	lists []jsonList
}

// profileJSON profiles a file with one JSON value.
func profileJSON(src *source) string {
	words := newWordFilter(src.Reader)
	lines := &lineCounter{from: words}
	f := &jsonFile{jsonReader: newJSONReader(lines), src: src, lines: lines, words: words}
	return f.section()
}

func (f *jsonFile) section() string {
	var md markdown
	first, err := f.next()
	if errors.Is(err, io.EOF) {
		return emptyFile(f.src)
	}
	switch {
	case err != nil:
		f.src.drain()
		f.src.unread = true
		md.para("Not analysed: the content is not JSON.")
		md.list(f.notes(err))
	case first == json.Delim('['):
		rows := newJSONRows(f.src)
		notes := f.notes(f.list(rows))
		f.overview(&md, "A list of "+bold(plural(rows.table.rows, "element")))
		notes = slices.Concat(rows.notes(), notes)
		f.src.found("", rows.table, notes)
		writeTable(&md, rows.table, notes, 3)
	case first == json.Delim('{'):
		f.object(&md)
	default:
		notes := f.notes(nil)
		f.overview(&md, "A single "+typeOf(first)+", "+inline(cellOf(first, 0), maxCell))
		md.list(notes)
	}
	return md.String()
}

func (f *jsonFile) overview(md *markdown, what string) {
	md.para(fmt.Sprintf("%s in %s, nested %s deep.",
		what, f.src.sizeText(), plural(f.deepest, "level")))
}

// list reads the elements of a list whose bracket has been read.
func (f *jsonFile) list(rows *jsonRows) error {
	defer rows.table.finish()
	for f.more() {
		first, err := f.next()
		if err != nil {
			return err
		}
		if err := rows.add(f.jsonReader, first, f.line()); err != nil {
			return err
		}
		f.src.progress.rows++
	}
	_, err := f.next()
	return err
}

// jsonList is a list of objects within an object.
type jsonList struct {
	name string // The keys that lead to it, parted by dots.
	rows *jsonRows
}

// jsonKey is one line of the report about an object.
type jsonKey struct {
	name, kind, content string
}

// object describes an object whose brace has been read: its keys, and the
// lists of objects in it, which often are what the file is about.
func (f *jsonFile) object(md *markdown) {
	var keys []jsonKey
	total := 0
	var err error
	for err == nil && f.more() {
		var key jsonKey
		key, err = f.member("")
		if err != nil && key.name == "" {
			break
		}
		if total++; total <= maxKeys {
			keys = append(keys, key)
		}
	}
	if err == nil {
		_, err = f.next()
	}
	notes := f.notes(err)
	if total > len(keys) {
		notes = append(notes, fmt.Sprintf("Only the first %s are listed.", plural(len(keys), "key")))
	}
	f.overview(md, "An object with "+bold(plural(total, "key")))
	if len(keys) > 0 {
		md.heading(3, "Keys")
		rows := make([][]string, 0, len(keys))
		for _, key := range keys {
			rows = append(rows, []string{inline(key.name, maxName), key.kind, inline(key.content, maxCell)})
		}
		md.table([]string{"Key", "Type", "Content"}, "lll", rows)
	}
	md.notes(3, notes)
	for _, l := range f.lists {
		md.heading(3, "The list "+inline(l.name, maxName))
		md.para(bold(plural(l.rows.table.rows, "element")) + ".")
		f.src.found(l.name, l.rows.table, slices.Concat(l.rows.notes(), notes))
		writeTable(md, l.rows.table, l.rows.notes(), 4)
	}
}

// member reads one key of an object, which is at a path, and its value. The first
// lists of objects, of this or of an object in it, are profiled.
func (f *jsonFile) member(path string) (jsonKey, error) {
	name, err := f.key()
	if err != nil {
		return jsonKey{}, err
	}
	first, err := f.next()
	if err != nil {
		return jsonKey{}, err
	}
	key := jsonKey{name: name, kind: typeOf(first)}
	if key.name == "" {
		key.name = "(no name)"
	}
	elements := 0
	switch {
	case first == json.Delim('[') && len(f.lists) < maxLists:
		rows := newJSONRows(f.src)
		err = f.list(rows)
		elements = rows.table.rows
		if rows.objects > 0 {
			f.lists = append(f.lists, jsonList{name: path + key.name, rows: rows})
		}
		key.content = plural(elements, "element")
		return key, err
	case first == json.Delim('{') && f.depth < maxListDepth:
		for err == nil && f.more() {
			_, err = f.member(path + key.name + ".")
			elements++
		}
		if err == nil {
			_, err = f.next()
		}
	default:
		elements, err = f.rest(first)
	}
	key.content = cellOf(first, elements)
	return key, err
}

// line is where the reader stands.
func (f *jsonFile) line() int { return f.lines.line(f.dec.InputOffset()) }

// notes reads to the end of the file and says what was wrong with it.
func (f *jsonFile) notes(err error) []string {
	var notes []string
	switch {
	case f.src.broken() != nil:
		// That the JSON then ends too early goes without saying.
	case err != nil:
		notes = append(notes, fmt.Sprintf("Reading stopped near line %s: %s.",
			humanInt(f.line()), jsonReason(err)))
	case f.more():
		notes = append(notes, fmt.Sprintf("Another JSON value begins on line %s; it and the rest are left out.",
			humanInt(f.line())))
	}
	f.src.drain()
	return slices.Concat(notes, f.words.notes(), f.src.notes())
}

// looksLikeJSON recognises JSON in a file of any name: a list or an object that is
// valid as far as it is there.
func looksLikeJSON(head []byte) bool {
	head = bytes.TrimSpace(head)
	if len(head) == 0 || head[0] != '{' && head[0] != '[' {
		return false
	}
	j := newJSONReader(newWordFilter(bytes.NewReader(head)))
	first, err := j.next()
	if err == nil {
		_, err = j.rest(first)
	}
	return err == nil || errors.Is(err, io.ErrUnexpectedEOF) && j.dec.InputOffset() > int64(len(head)/2)
}

// looksLikeJSONLines recognises JSON Lines in a file named .json.
func looksLikeJSONLines(head []byte) bool {
	first, rest, found := bytes.Cut(bytes.TrimSpace(head), []byte("\n"))
	rest = bytes.TrimSpace(rest)
	return found && len(rest) > 0 && rest[0] == '{' && bytes.HasPrefix(first, []byte("{")) && json.Valid(first)
}
