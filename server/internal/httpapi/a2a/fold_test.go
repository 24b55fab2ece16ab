package a2a

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/task"
)

// history applies commands to a task, one a second, and keeps its log.
type history struct {
	t   *testing.T
	now task.Stamp
	task.Task
	log []task.Event
}

func begun(t *testing.T, spec task.Spec) *history {
	t.Helper()
	h := &history{t: t, now: 1_790_000_000_000_000}
	spec.ID, spec.AgentID, spec.OrganizationID, spec.MaxAttempts = "t", "a", "o", 3
	h.do(task.Begin{Spec: spec})
	return h
}

func (h *history) do(commands ...task.Command) {
	h.t.Helper()
	for _, c := range commands {
		h.now += 1_000_000
		changed, err := task.Apply(h.Task, c, h.now)
		if err != nil {
			h.t.Fatalf("%T: %v", c, err)
		}
		h.Task, h.log = changed.Task, append(h.log, changed.Events...)
	}
}

func (h *history) claim() {
	h.t.Helper()
	h.now = max(h.now, h.ReadyAt)
	h.do(task.Claim{Worker: "w", TokenHash: "x", Lease: 1_000_000_000})
}

func (h *history) writer() task.Writer { return task.Writer{Fenced: true, Attempt: h.Run} }

func (h *history) say(words ...string) {
	h.t.Helper()
	for _, w := range words {
		own, _ := json.Marshal(w)
		h.do(task.Append{By: h.writer(), Events: []task.Event{{Type: task.Chunk, Own: own}}})
	}
}

func (h *history) finish(reason task.EndReason, result string) {
	h.t.Helper()
	h.do(task.Finish{By: h.writer(), Reason: reason, Result: &result})
}

// told is what the fold makes of the log, a line an update, and the task in the end.
func (h *history) told() (lines []string, last *fold) {
	h.t.Helper()
	f := newFold(func(ref string) string { return "http://here/" + ref })
	for _, e := range h.log {
		updates, err := f.add(e)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, u := range updates {
			lines = append(lines, line(u))
		}
	}
	return lines, f
}

func line(u Update) string {
	said := func(parts []Part) (s string) {
		for _, p := range parts {
			switch {
			case p.Text != nil:
				s += " " + *p.Text
			case p.URL != nil:
				s += " <" + *p.URL + ">"
			default:
				s += " " + string(p.Data)
			}
		}
		return s
	}
	status := func(s Status) string {
		short := strings.TrimPrefix(string(s.State), "TASK_STATE_")
		if s.Message != nil {
			return short + ":" + said(s.Message.Parts[:1])
		}
		return short
	}
	switch {
	case u.Task != nil:
		return u.at.String() + " task " + status(u.Task.Status)
	case u.Status != nil:
		return u.at.String() + " " + status(u.Status.Status)
	case u.Artifact.Append:
		return u.at.String() + " +" + said(u.Artifact.Artifact.Parts)
	default:
		return u.at.String() + " " + u.Artifact.Artifact.ID + said(u.Artifact.Artifact.Parts)
	}
}

func (h *history) tells(want ...string) *fold {
	h.t.Helper()
	got, f := h.told()
	if diff := cmp.Diff(want, got); diff != "" {
		h.t.Errorf("updates (-want +got):\n%s", diff)
	}
	return f
}

func asks(words string) task.Spec { return task.Spec{Input: task.Input{Text: &words}} }

func TestTextIsToldInPiecesAndThenWhole(t *testing.T) {
	t.Parallel()
	h := begun(t, asks("hello"))
	h.claim()
	h.say("Hi", " there")
	h.finish(task.EndCompleted, "Hi there.")
	f := h.tells("1 task SUBMITTED", "3 WORKING", "4 result Hi", "5 +  there", "5.5 result Hi there.", "6 COMPLETED")
	if len(f.Artifacts) != 1 || *f.Artifacts[0].Parts[0].Text != "Hi there." || len(f.History) != 1 || *f.History[0].Parts[0].Text != "hello" {
		t.Errorf("the task is %+v", f.Task)
	}
}

func TestTextOfALostAttemptIsTakenBack(t *testing.T) {
	t.Parallel()
	h := begun(t, asks("hello"))
	h.claim()
	h.say("Ha", "lf")
	h.do(task.Lose{Number: h.Run.Number, Reason: "the lease ran out"})
	h.claim()
	h.say("Whole")
	h.finish(task.EndFailed, "no more")
	f := h.tells("1 task SUBMITTED", "3 WORKING", "4 result Ha", "5 + lf", "6 WORKING: attempt 1 was lost: the lease ran out",
		"10 result Whole", "11 FAILED: failed: no more")
	if last := f.History[len(f.History)-1]; last.Role != Agent || *last.Parts[0].Text != "failed: no more" {
		t.Errorf("the history ends with %+v", last)
	}
	if len(f.Artifacts) != 0 || f.Metadata["end_reason"] != task.EndFailed {
		t.Errorf("the task is %+v", f.Task)
	}
}

func TestAQuestionRestsUntilItIsAnswered(t *testing.T) {
	t.Parallel()
	h := begun(t, asks("refund"))
	h.claim()
	h.do(task.Ask{By: h.writer(), ID: "q", Asked: task.Asked{Key: "q", Kind: task.KindQuestion, Message: "How much?"}})
	asked := h.log[len(h.log)-1]
	h.do(task.Ask{By: h.writer(), ID: "p", Asked: task.Asked{Key: "p", Kind: task.KindApproval, ToolName: "pay"}})
	then := h.log[len(h.log)-1]
	h.do(task.Await{By: h.writer(), For: task.Wait{Cause: task.ForPerson, Asks: []string{"q", "p"}}})
	h.tells("1 task SUBMITTED", "3 WORKING", "7 INPUT_REQUIRED: How much?")
	for _, e := range []task.Event{asked, then} {
		a, err := task.ApprovalOf(e, nil)
		if err != nil {
			t.Fatal(err)
		}
		h.do(task.Respond{To: a, Reply: &task.Reply{Answer: task.Approve, Value: json.RawMessage(`"120"`)}, By: "ann"})
	}
	f := h.tells("1 task SUBMITTED", "3 WORKING", "7 INPUT_REQUIRED: How much?", "8 AUTH_REQUIRED: Approve pay", "11 WORKING")
	if len(f.History) != 5 || *f.History[2].Parts[0].Text != "120" {
		t.Errorf("the history is %+v", f.History)
	}
}

// A turn that somebody holds while its question is answered asks nothing any more.
func TestAQuestionIsAnsweredWhileSomebodyHoldsTheTurn(t *testing.T) {
	t.Parallel()
	h := begun(t, asks("refund"))
	h.claim()
	h.do(task.Ask{By: h.writer(), ID: "q", Asked: task.Asked{Key: "q", Kind: task.KindQuestion, Message: "How much?"}})
	a, err := task.ApprovalOf(h.log[len(h.log)-1], nil)
	if err != nil {
		t.Fatal(err)
	}
	h.do(task.Await{By: h.writer(), For: task.Wait{Cause: task.ForPerson, Asks: []string{"q"}}}, task.Pause{By: "ann"})
	h.do(task.Respond{To: a, Reply: &task.Reply{Answer: task.Approve, Value: json.RawMessage(`"120"`)}, By: "bob"})
	h.tells("1 task SUBMITTED", "3 WORKING", "6 INPUT_REQUIRED: How much?", "8 WORKING: paused by ann")
	h.do(task.Resume{By: "ann"})
	h.tells("1 task SUBMITTED", "3 WORKING", "6 INPUT_REQUIRED: How much?", "8 WORKING: paused by ann", "10 WORKING")
}

// A sign-in that was asked for is over when the turn goes on.
func TestASignInIsAskedForOnce(t *testing.T) {
	t.Parallel()
	h := begun(t, asks("refund"))
	h.claim()
	h.do(task.Append{By: h.writer(), Events: []task.Event{{Type: task.AuthEvent, Own: json.RawMessage(`{"url":"http://x"}`)}}})
	h.do(task.Pause{By: "ann"}, task.Resume{By: "ann"}, task.Pause{By: "bob"})
	want := []string{"1 task SUBMITTED", "3 WORKING", `4 WORKING: {"url":"http://x"}`, `6 AUTH_REQUIRED: {"url":"http://x"}`, "8 WORKING", "10 WORKING: paused by bob"}
	h.tells(want...)
}

// Whoever may write to a log writes nothing into it that makes the task unreadable.
func TestWhatIsNoMessageIsPassedOver(t *testing.T) {
	t.Parallel()
	h := begun(t, asks("hello"))
	for _, own := range []string{`"hi"`, `{"parts": 7}`, `{"parts": null}`} {
		h.do(task.Append{Events: []task.Event{{Type: task.AgentMessage, Own: json.RawMessage(own), ClientID: sentBy + own}}})
	}
	f := h.tells("1 task SUBMITTED")
	if said, err := json.Marshal(f.History); err != nil || len(f.History) != 2 || !strings.Contains(string(said), `"parts":[]`) {
		t.Errorf("the history is %s, %v", said, err)
	}
}

// A history that is long begins later.
func TestOldMessagesGo(t *testing.T) {
	t.Parallel()
	h := begun(t, asks("hello"))
	said := `{"parts": [{"text": "` + strings.Repeat("x", 200<<10) + `"}]}`
	for i := range 30 {
		h.do(task.Append{Events: []task.Event{{Type: task.AgentMessage, Own: json.RawMessage(said), ClientID: sentBy + strconv.Itoa(i)}}})
	}
	f := h.tells("1 task SUBMITTED")
	if n := len(f.History); n != maxHistory/(200<<10) || f.History[n-1].ID != "29" {
		t.Errorf("the history has %d messages, the last of which is %s", n, f.History[n-1].ID)
	}
}

func TestWhatIsSaidOfTheEndIsCorrected(t *testing.T) {
	t.Parallel()
	h := begun(t, asks("hello"))
	h.claim()
	h.finish(task.EndFailed, "no more")
	history := func() (said []string) {
		_, f := h.told()
		for _, m := range f.History {
			said = append(said, *m.Parts[0].Text)
		}
		return said
	}
	h.do(task.Edit{Who: "key admin", Side: json.RawMessage(`{"title": "another"}`)})
	if diff := cmp.Diff([]string{"hello", "failed: no more"}, history()); diff != "" {
		t.Errorf("with another title (-want +got):\n%s", diff)
	}
	more := "more"
	h.do(task.Settle{By: "key admin", Reason: task.EndCompleted, Result: &more, Correct: true})
	if diff := cmp.Diff([]string{"hello"}, history()); diff != "" {
		t.Errorf("completed after all (-want +got):\n%s", diff)
	}
}

func TestAStopIsCanceled(t *testing.T) {
	t.Parallel()
	h := begun(t, asks("hello"))
	h.do(task.Pause{By: "key admin"}, task.RequestStop{By: "key admin"})
	h.tells("1 task SUBMITTED", "3 WORKING: paused by key admin", "5 CANCELED: stopped")
}

func TestPlacesAreOrdered(t *testing.T) {
	t.Parallel()
	order := []place{{seq: 9}, {10, true}, {seq: 10}, {11, true}}
	for i, p := range order {
		if again, err := placeOf(p.String()); err != nil || again != p {
			t.Errorf("%v reads as %v, %v", p, again, err)
		}
		for j, q := range order {
			if p.behind(q) != (i > j) {
				t.Errorf("%v behind %v is %v", p, q, p.behind(q))
			}
		}
	}
	for _, bad := range []string{"", "-1", "x", "1.5.5", "1.4", "9223372036854775808"} {
		if _, err := placeOf(bad); err == nil {
			t.Errorf("%q is a place", bad)
		}
	}
}
