package errand

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	for raw, into := range map[*[]byte]*any{&a: &x, &b: &y} {
		dec := json.NewDecoder(bytes.NewReader(*raw))
		dec.UseNumber()
		if err := dec.Decode(into); err != nil {
			t.Errorf("%q: %v", *raw, err)
			return false
		}
	}
	return reflect.DeepEqual(x, y)
}

// FuzzReadStream holds the reader to the standard's own words: lines end with
// CRLF or LF, an empty one ends an event, and what is broken off is none.
func FuzzReadStream(f *testing.F) {
	for _, seed := range []string{
		"id: 1\nevent: a\ndata: {\"a\":1}\n\n: ka\n\ndata: x\ndata: y\r\n\r\n", "data\n\n", "data:\n\n", "data:  a\n\n", "data: a\n", ": ka\nid: 7\n\ndata: a\n\n", "id: x\n\n", "\n\n\ndata:a\n\n\n", "datax: 1\n\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		var got []string
		r := bufio.NewReader(bytes.NewReader(stream))
		for _, data, err := nextData(r, func() {}); err == nil; _, data, err = nextData(r, func() {}) {
			if data != nil {
				got = append(got, string(data))
			}
		}
		if want := eventsIn(string(stream)); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: read %q, want %q", stream, got, want)
		}
	})
}

// eventsIn is the data of a stream's events.
func eventsIn(stream string) []string {
	var all, data []string
	lines := strings.Split(stream, "\n")
	for _, line := range lines[:len(lines)-1] { // the last is broken off
		line = strings.TrimSuffix(line, "\r")
		field, value, _ := strings.Cut(line, ":")
		switch {
		case line == "" && data != nil:
			all, data = append(all, strings.Join(data, "\n")), nil
		case field == "data":
			data = append(data, strings.TrimPrefix(value, " "))
		}
	}
	return all
}

// FuzzDecodeText holds for any bytes that what is made of them is text, and for
// any text that it survives the way through every charset that can say it.
func FuzzDecodeText(f *testing.F) {
	for _, seed := range []string{"", "a€", "\xe2\x82", "\xff\xfea\x00", "\xed\xa0\x80", "😀", "\xef\xbb\xbfa"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, charset := range []string{"utf-8", "utf-8-sig", "ascii", "latin1", "cp1252", "utf-16", "utf-16le", "utf-16be"} {
			if text, ok := decodeText(b, charset); !ok || !utf8.ValidString(text) {
				t.Errorf("%q in %s is %q", b, charset, text)
			}
		}
		if !utf8.Valid(b) {
			return
		}
		text := string(b)
		little, big := []byte{0xff, 0xfe}, []byte{0xfe, 0xff}
		for _, unit := range utf16.Encode([]rune(text)) {
			little, big = append(little, byte(unit), byte(unit>>8)), append(big, byte(unit>>8), byte(unit))
		}
		for charset, encoded := range map[string][]byte{"utf-8": b, "utf-16": little, "utf-16be": big[2:], "utf-16-le": little[2:], "utf8": b} {
			if got, _ := decodeText(encoded, charset); got != text {
				t.Errorf("%q came through %s as %q", text, charset, got)
			}
		}
		if got, _ := decodeText(big, "utf-16"); got != text {
			t.Errorf("%q came through utf-16 as %q", text, got)
		}
	})
}

// FuzzRetryAfter holds for any header that the wait is one: never negative, and
// for a number exactly that many seconds, up to what is as good as for ever.
func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	for _, seed := range []string{"", "1", "-1", "99999999999", "9223372036854775807", "1e3", now.Add(time.Minute).Format(http.TimeFormat), "Mon, 01 Jan 0001 00:00:00 GMT"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		wait := retryAfter(value, now)
		if wait < 0 {
			t.Errorf("%q: %s", value, wait)
		}
		n, err := strconv.Atoi(value)
		if err == nil && wait != time.Duration(min(max(n, 0), math.MaxInt32))*time.Second {
			t.Errorf("%q: %s", value, wait)
		}
	})
}

// FuzzTask holds for any JSON object that a task keeps the whole of it.
func FuzzTask(f *testing.F) {
	for _, seed := range []string{`{}`, `{"id": "a", "status": "pending", "more": [1.50, 1e2]}`, `{"created_at": "2026-01-01T00:00:00Z", "timeout": 1.5, "input": {"text": "t", "user": null}}`, `{"timeout": 1e300}`, `null`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		var task Task
		if json.Unmarshal(given, &task) != nil || string(bytes.TrimSpace(given)) == "null" {
			return
		}
		if kept := task.JSON(); !sameJSON(t, kept, given) {
			t.Errorf("%q is kept as %q", given, kept)
		}
	})
}
