package task_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/task"
)

// FuzzHistory is TestAnyHistoryIsLegal, led by what the code does with it.
func FuzzHistory(f *testing.F) { f.Fuzz(rapid.MakeFuzz(anyHistoryIsLegal)) }

// FuzzPatch applies a body of the Python client with any side fields to a task
// in any state: the fold of the log is the task, and a refusal changes nothing.
func FuzzPatch(f *testing.F) {
	for _, side := range []string{
		`{}`, `{"title": "a"}`, `{"internal_status": null, "tokens": {"prompt_tokens": 1}}`, `{"used_tools": ["a"], "duration": 1e3}`,
		`{"deep_planning": {"enabled": true}, "hitl_request": [1]}`, `{"status": "stopped", "execution_attempts": 9}`, `{"Title": "b", "title": "a"}`,
		`{"tokens": null, "title": null}`, `{"run_at": "2026-01-01T00:00:00.123456789Z"}`, `[]`, `null`, `{"duration": 1e400}`,
	} {
		for state := range byte(6) {
			f.Add(state, state%2 == 0, "completed", "r", side, `{"a": {"b": 1}}`)
		}
	}
	f.Fuzz(func(t *testing.T, state byte, full bool, status, result, side, extension string) {
		if !task.Status(status).Valid() || !json.Valid([]byte(side)) || !json.Valid([]byte(extension)) ||
			!utf8.ValidString(result+side+extension) {
			t.Skip("refused before it comes here")
		}
		l := newLog(t)
		for _, c := range [][]task.Command{
			{},
			{task.Assign{Worker: "py", Lease: time.Minute}},
			{task.Claim{Worker: "w", TokenHash: "h", Lease: time.Minute}},
			{task.Pause{By: "p"}},
			{task.RequestStop{By: "p"}},
			{task.Settle{By: "p", Reason: task.EndCompleted, FromPending: true}},
		}[int(state)%6] {
			l.apply(c)
		}
		patch := task.Patch{
			Full: full, Status: task.Status(status), Number: l.task.State().ExecutionAttempts, From: l.task.Run, Result: &result,
			Side: json.RawMessage(side), Extension: json.RawMessage(extension), By: "p",
		}
		l.apply(patch)
		l.apply(patch) // a repeat is one more thing that may happen
	})
}

// log is a task with the fold of its log beside it.
type log struct {
	t      *testing.T
	task   task.Task
	folded task.State
}

func newLog(t *testing.T) *log {
	t.Helper()
	l := &log{t: t}
	l.apply(begin(false))
	return l
}

func (l *log) apply(c task.Command) {
	l.t.Helper()
	change, err := task.Apply(l.task, c, 1_000_000)
	if err != nil {
		return
	}
	for i, e := range change.Events {
		if e.Seq != l.task.LastSeq+int64(i)+1 || !json.Valid(e.Data()) {
			l.t.Fatalf("%T: event %d behind %d: %s", c, e.Seq, l.task.LastSeq, e.Data())
		}
		if e.Type.ChangesState() {
			if err := l.folded.Fold(e.Data()); err != nil {
				l.t.Fatalf("%T: fold %s: %v", c, e.Data(), err)
			}
		}
	}
	l.task = change.Task
	if diff := cmp.Diff(l.folded, l.task.State(), asJSON()); diff != "" {
		l.t.Fatalf("%T: the fold of the log differs from the task (T4):\n%s", c, diff)
	}
	if !l.task.Status().Valid() {
		l.t.Fatalf("%T: status %q", c, l.task.Status())
	}
}

// FuzzStamp holds a moment to package time: what is read is that moment to the
// microsecond, and what is written is read as the same.
func FuzzStamp(f *testing.F) {
	for _, seed := range []string{
		`null`, `"2026-11-25T01:02:03Z"`, `"2026-11-25T01:02:03.123456789+05:30"`, `"0001-01-01T00:00:00Z"`, `"9999-12-31T23:59:59.999999999Z"`,
		`"9999-12-31T23:59:59-23:59"`, `"0000-01-01T00:00:00+23:59"`, `"1970-01-01T00:00:00Z"`, `"2026-11-25 01:02:03"`, `5`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		var s task.Stamp
		if err := s.UnmarshalJSON(given); err != nil {
			return
		}
		var text *string
		if err := json.Unmarshal(given, &text); err != nil {
			t.Skip("the decoder does not hand it over")
		}
		if text != nil {
			want, err := time.Parse(time.RFC3339Nano, *text)
			if err != nil {
				t.Fatalf("%s was taken, and is no moment: %v", given, err)
			}
			if got := s.Time(); s != 0 && !got.Equal(want.Truncate(time.Microsecond)) && got.Sub(want).Abs() > time.Microsecond {
				t.Errorf("%s became %s", given, got)
			}
		}
		written, err := json.Marshal(s)
		if err != nil {
			t.Fatalf("%s cannot be written: %v", given, err)
		}
		var again task.Stamp
		if err := json.Unmarshal(written, &again); err != nil || again != s {
			t.Errorf("%s was written as %s, which is %v, %v", given, written, again, err)
		}
	})
}

// FuzzSplice holds the joining of objects to what decoding them says.
func FuzzSplice(f *testing.F) {
	for _, seed := range [][2]string{{`{"a": 1}`, `{"b": 2}`}, {`{}`, ` {"b": {}}`}, {``, `{"b": "}"}`}, {`{ }`, `{}`}, {"{\n}", `{"c":[]}`}, {`{"a":1} `, `{"b":2}`}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, one, other string) {
		want := map[string]any{}
		for _, o := range []string{one, other} {
			var members map[string]any
			if o != "" && (json.Unmarshal([]byte(o), &members) != nil || members == nil) {
				t.Skip("not an object")
			}
			if compact, err := json.Marshal(members); o != "" && (err != nil || len(compact) != len(o)) {
				t.Skip("stores and encoders write no spaces, and no name twice")
			}
			for name, value := range members {
				if _, there := want[name]; there {
					t.Skip("they share a member")
				}
				want[name] = value
			}
		}
		var got map[string]any
		if err := json.Unmarshal(task.Splice(json.RawMessage(one), json.RawMessage(other)), &got); err != nil {
			t.Fatalf("%s and %s: %v", one, other, err)
		}
		if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s and %s became %v", one, other, got)
		}
	})
}
