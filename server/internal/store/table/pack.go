package table

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/errand-dev/errand/server/internal/task"
)

// A pack is a row that holds several events: chunks that follow one another, of one
// turn and one author. It stands under the number of the last of them, so that who
// reads behind a cursor finds it like any other row, and leaves out what is not
// behind it.

const (
	// packEvents and packBytes bound a pack, so that whoever wants one event of it
	// reads little more. The event that reaches the second one is the last.
	packEvents = 1000
	packBytes  = 64 << 10
)

// How the events of a pack are written: the first byte.
const (
	plain    = 'p'
	deflated = 'd'
)

// joins reports whether an event may stand in one pack with the one before it.
func joins(last, e task.Event) bool {
	return e.Continues(last) && e.Seq == last.Seq+1 && e.Turn == last.Turn && e.Author == last.Author
}

// inPacks cuts events into what one row holds each.
func inPacks(events []task.Event) [][]task.Event {
	var rows [][]task.Event
	for begin, end, size := 0, 0, 0; end < len(events); {
		size += len(events[end].Own)
		if end++; end == len(events) || end-begin == packEvents || size >= packBytes || !joins(events[end-1], events[end]) {
			rows = append(rows, events[begin:end:end])
			begin, size = end, 0
		}
	}
	return rows
}

// insertEvents appends to a log: one row for each event, or for many.
func insertEvents(org, id string, events []task.Event) []Op {
	ops := make([]Op, 0, len(events))
	for _, row := range inPacks(events) {
		var packed []byte
		if len(row) > 1 {
			packed = pack(row)
		}
		ops = append(ops, insertRow(org, id, row, packed))
	}
	return ops
}

// insertRow makes the row of one event, or of those that are packed.
func insertRow(org, id string, events []task.Event, packed []byte) Op {
	first, last := events[0], events[len(events)-1]
	own, from := string(first.Own), int64(0)
	if packed != nil {
		own, from = "", first.Seq
	}
	var named, of *string
	n, ok := task.Numbered(last.ClientID)
	switch {
	case ok:
		of = &n.Of
	case last.ClientID != "":
		named = &last.ClientID
	}
	return Op{
		SQL: `INSERT INTO events (org, task, seq, first_seq, turn, type, time, own, packed, client_id, client_of, client_no, attempt, by_whom)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		Args: []any{
			org, id, last.Seq, from, last.Turn, string(last.Type), int64(first.Time), own, packed, named, of, n.No,
			last.Author.Attempt, last.Author.By,
		}, In: Events,
	}
}

// pack writes events one behind the other: when each was, and how long it is, then
// what all of them say.
func pack(events []task.Event) []byte {
	size := 1
	for _, e := range events {
		size += len(e.Own) + binary.MaxVarintLen32
	}
	packed := append(make([]byte, 0, size), plain)
	at := events[0].Time
	for _, e := range events {
		packed = binary.AppendVarint(packed, int64(e.Time-at))
		packed = binary.AppendUvarint(packed, uint64(len(e.Own)))
		at = e.Time
	}
	for _, e := range events {
		packed = append(packed, e.Own...)
	}
	return packed
}

// deflaters are used again: each has some hundred KiB.
var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // the level is one that there is
	return w
}}

// squeezed is a pack that takes less room, if it can.
func squeezed(packed []byte) []byte {
	w, _ := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	var small bytes.Buffer
	small.WriteByte(deflated)
	w.Reset(&small)
	_, err := w.Write(packed[1:])
	if err := errors.Join(err, w.Close()); err != nil || small.Len() >= len(packed) {
		return packed
	}
	return small.Bytes()
}

// logRow is a row of a log as it was read.
type logRow struct {
	last  task.Event // what the row tells of its last event
	first int64      // the number of the first one that it holds
	// packed are its events, nil for one alone.
	packed []byte
	of     *string
	no     int64
}

// logColumns are what a logRow is read from.
const logColumns = "e.seq, e.first_seq, e.turn, e.type, e.time, e.own, e.packed, e.client_id, e.client_of, e.client_no, e.attempt, e.by_whom"

// scan reads a row, and what else was asked for with it.
func (r *logRow) scan(rows Rows, more ...any) error {
	var typ, own string
	var clientID *string
	e := &r.last
	err := rows.Scan(append([]any{
		&e.Seq, &r.first, &e.Turn, &typ, &e.Time, &own, &r.packed, &clientID, &r.of, &r.no, &e.Author.Attempt, &e.Author.By,
	}, more...)...)
	if err != nil {
		return err
	}
	e.Type, e.Own = task.Type(typ), json.RawMessage(own)
	if r.packed == nil {
		r.first = e.Seq
	}
	switch {
	case clientID != nil:
		e.ClientID = *clientID
	case r.of != nil:
		e.ClientID = task.NumberedID{Of: *r.of, No: r.no}.Before(0)
	}
	return nil
}

// errPack says that a pack cannot be read.
var errPack = errors.New("a row of a log cannot be read")

// events are those of the row behind a number.
func (r *logRow) events(after int64) ([]task.Event, error) {
	if r.packed == nil {
		return []task.Event{r.last}, nil
	}
	text, err := unsqueezed(r.packed)
	if err != nil {
		return nil, err
	}
	count := r.last.Seq - r.first + 1
	if count < 1 || count > int64(len(text)) {
		return nil, errPack
	}
	events := make([]task.Event, count)
	lengths := make([]uint64, count)
	at := r.last.Time
	for i := range events {
		passed, n := binary.Varint(text)
		length, m := binary.Uvarint(text[max(n, 0):])
		if n <= 0 || m <= 0 {
			return nil, errPack
		}
		text, at, lengths[i] = text[n+m:], at+task.Stamp(passed), length
		e := r.last
		e.Seq, e.Time = r.first+int64(i), at
		if r.of != nil {
			e.ClientID = task.NumberedID{Of: *r.of, No: r.no}.Before(r.last.Seq - e.Seq)
		}
		events[i] = e
	}
	for i, length := range lengths {
		if length > uint64(len(text)) {
			return nil, errPack
		}
		events[i].Own, text = json.RawMessage(text[:length:length]), text[length:]
	}
	return events[max(0, after+1-r.first):], nil
}

// unsqueezed is what stands in a pack behind its first byte.
func unsqueezed(packed []byte) ([]byte, error) {
	switch {
	case len(packed) > 0 && packed[0] == plain:
		return packed[1:], nil
	case len(packed) > 0 && packed[0] == deflated:
		text, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed[1:])))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errPack, err)
		}
		return text, nil
	}
	return nil, errPack
}

// Pack is the writes that put the rows of a log behind a number into packs, or into
// larger ones: of at most so many rows, and a quarter of a mebibyte. to is the number
// up to which they were looked at, after itself if there is nothing behind it.
func Pack(ctx context.Context, db DB, org, id string, after int64, rows int) (ops []Op, to int64, err error) {
	const most = maxBytes / 4
	var events []task.Event
	whole := map[int64]logRow{} // the rows that there are, by the number of their first event
	size := 0
	to = after
	err = each(ctx, db, "SELECT "+logColumns+" FROM events e WHERE e.org = ? AND e.task = ? AND e.seq > ? ORDER BY e.seq LIMIT ?",
		[]any{org, id, after, rows}, func(found Rows) error {
			var r logRow
			if err := r.scan(found); err != nil {
				return err
			}
			row, err := r.events(0)
			if err != nil {
				return err
			}
			events, to, whole[r.first] = append(events, row...), r.last.Seq, r
			for _, e := range row {
				size += len(e.Own)
			}
			if size >= most {
				return errEnough
			}
			return nil
		})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, 0, fmt.Errorf("read a log: %w", err)
	}
	for _, row := range inPacks(events) {
		first, last := row[0].Seq, row[len(row)-1].Seq
		if r := whole[first]; r.last.Seq == last && (r.packed == nil || r.packed[0] == deflated) {
			continue // it is as it would become
		}
		ops = append(ops,
			Op{SQL: "DELETE FROM events WHERE org = ? AND task = ? AND seq >= ? AND seq <= ?", Args: []any{org, id, first, last}, In: Events},
			insertRow(org, id, row, squeezed(pack(row))))
	}
	return ops, to, nil
}
