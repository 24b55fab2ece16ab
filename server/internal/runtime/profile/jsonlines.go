package profile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// maxJSONLine is the longest line of a JSON Lines file that is read.
const maxJSONLine = 4 << 20

// errLongLine is why a line is left out.
var errLongLine = errors.New("the line is longer than 4 MiB")

// profileJSONLines profiles a file with one JSON value a line. A line that is
// not JSON is left out, which is what the format is good for.
func profileJSONLines(src *source) string {
	rows, words := newJSONRows(src), newWordFilter(nil)
	var bad flaw
	var cause error
	deepest := 0
	for number := 1; ; number++ {
		line, long, more := readLine(src.Reader, maxJSONLine)
		if !more {
			break
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		depth, err := addLine(rows, words, line, number)
		if long {
			err = errLongLine
		}
		if err != nil {
			if bad.add(number); bad.count == 1 {
				cause = err
			}
			continue
		}
		deepest = max(deepest, depth)
		src.progress.rows++
	}
	rows.table.finish()
	if src.size() == 0 {
		return emptyFile(src)
	}

	var md markdown
	md.para(fmt.Sprintf("%s of JSON in %s, nested %s deep.",
		bold(plural(rows.table.rows, "line")), src.sizeText(), plural(deepest, "level")))
	notes := rows.notes()
	if bad.count > 0 {
		notes = append(notes, fmt.Sprintf("%s left out as not valid JSON; the first is line %s: %s.",
			plural(bad.count, "line"), humanInt(bad.line), jsonReason(cause)))
	}
	notes = slices.Concat(notes, words.notes(), src.notes())
	src.found("", rows.table, notes)
	writeTable(&md, rows.table, notes, 3)
	return md.String()
}

// addLine adds the value on one line and returns how deep it is nested.
func addLine(rows *jsonRows, words *wordFilter, line []byte, number int) (depth int, err error) {
	// A check beforehand keeps half a row out of the table. The slow one knows
	// what is wrong.
	if !json.Valid(line) {
		line = words.replace(line)
		if err := checkJSON(line); err != nil {
			return 0, err
		}
	}
	j := newJSONReader(bytes.NewReader(line))
	first, err := j.next()
	if err != nil {
		return 0, err
	}
	return j.deepest, rows.add(j, first, number)
}

// checkJSON walks through a line that must hold just one value.
func checkJSON(line []byte) error {
	j := newJSONReader(bytes.NewReader(line))
	first, err := j.next()
	if err != nil {
		return err
	}
	if _, err := j.rest(first); err != nil {
		return err
	}
	if _, err := j.next(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// readLine returns the next line, valid until the next call, whether it is
// longer than limit and therefore cut, and false at the end of the file.
func readLine(in *bufio.Reader, limit int) (line []byte, long, more bool) {
	for {
		part, err := in.ReadSlice('\n')
		if room := limit - len(line); len(part) > room {
			part, long = part[:room], true
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, long, err == nil || len(line) > 0
		}
	}
}
