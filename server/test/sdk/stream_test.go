package sdk_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// discardDeadlines makes a recorder one that a stream can be written to.
type discardDeadlines struct{ *httptest.ResponseRecorder }

func (discardDeadlines) SetWriteDeadline(time.Time) error { return nil }

// FuzzStream sends any data with the server's writer of event streams and reads
// it with the client: what comes out is what went in, event by event, and no line
// of it is taken for another by a reader that knows all of Unicode's ends of
// lines.
func FuzzStream(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"a": "b"}`, `null`}, {"{\n\"a\":\r\n1}", `"data: x\n\nid: 9\n\n"`}, {"\"\u0085\u2028\u2029\"", `[]`}, {`"a\r\nb\\u2028"`, "\r\n 5 \n"},
	} {
		f.Add(int64(1), "chunk", []byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, id int64, name string, one, other []byte) {
		if strings.ContainsAny(name, "\r\n") {
			t.Skip("names are from a closed list")
		}
		recorder := httptest.NewRecorder()
		out, err := edge.StartSSE(discardDeadlines{recorder}, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		sent := [][]byte{one, other}
		for i, data := range sent {
			if !json.Valid(data) || !utf8.Valid(data) {
				t.Skip("data is JSON")
			}
			event := fmt.Appendf(nil, "{\"id\": %d,\r\n\"data\":%s}", i+1, data)
			if err := errors.Join(out.Event(id, name, event), out.KeepAlive()); err != nil {
				t.Fatal(err)
			}
		}
		wire := recorder.Body.Bytes()
		c, err := errand.NewClient(errand.WithURL("http://recorded"), errand.WithKey("k"), wires(func(r *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
			if r.Header.Get("Last-Event-ID") == strconv.Itoa(len(sent)) {
				return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
			}
			return &http.Response{StatusCode: http.StatusOK, Header: recorder.Header(), Body: io.NopCloser(bytes.NewReader(wire))}, nil
		}).option())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for e, err := range c.Tasks.Events(t.Context(), "t") {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n > len(sent) || e.ID != int64(n) || !sameJSON(t, e.Data, sent[n-1]) {
				t.Fatalf("event %d came as %d: %q", n, e.ID, e.Data)
			}
		}
		if n != len(sent) {
			t.Errorf("%d events came of %d", n, len(sent))
		}
		if strings.ContainsAny(string(wire), "\r\u0085\u2028\u2029") && !strings.ContainsAny(name, "\u0085\u2028\u2029") {
			t.Errorf("an end of a line that is none: %q", wire)
		}
	})
}

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
