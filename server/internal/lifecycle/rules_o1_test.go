package lifecycle_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// outputOf is an output as an attempt writes it.
func outputOf(name, content string) task.Output {
	return task.Output{Name: name, File: strings.Repeat(content, 64)[:64], Size: int64(len(content)), ContentType: "text/plain"}
}

// put writes an output of task t that must be taken.
func (b *bench) put(token, name, content string) (o task.Output, known bool) {
	b.t.Helper()
	o, known, err := b.WriteOutput(b.ctx(), who(), "t", token, outputOf(name, content))
	b.must(err)
	return o, known
}

// A superseded attempt writes no file, and the log says that it tried to; what it had
// written before stays for the next one.
func TestO1OnlyTheHolderOfTheLeaseWrites(t *testing.T) {
	t.Parallel()
	b := open(t)
	lost := b.run("t", nil)
	first, known := b.put(lost, "a", "1")
	if known || first.Turn != 1 || first.Attempt != 1 {
		t.Errorf("O1: written %+v, known %v", first, known)
	}
	e := b.of("t", task.OutputWritten)
	want := fmt.Sprintf(`{"name":"a","file_id":"%s","size":1,"content_type":"text/plain"}`, strings.Repeat("1", 64))
	if len(e) != 1 || string(e[0].Data()) != want || e[0].Seq != first.Seq || e[0].Author.Attempt != 1 {
		t.Errorf("O1: its events are %+v", e)
	}
	b.clock.forward(2 * lease)
	b.must(b.Sweep(b.ctx()))
	b.unchanged("t", func() { // whose answer was lost: nothing is refused
		_, _, err := b.WriteOutput(b.ctx(), who(), "t", lost, outputOf("a", "1"))
		b.refused(err, fault.Conflict)
	})
	_, _, err := b.WriteOutput(b.ctx(), who(), "t", lost, outputOf("b", "2"))
	b.refused(err, fault.Conflict)
	b.refused(b.AwaitOutput(b.ctx(), who(), "t", lost), fault.Conflict)
	if n := len(b.of("t", task.LateWriteRefused)); n != 1 {
		t.Errorf("O1: %d notes of refused files", n)
	}
	b.clock.forward(2 * lease)
	now := b.claim("w", 1)[0]
	if again, known := b.put(now.Token, "a", "1"); !known || again != first {
		t.Errorf("O1: the same file is %+v, known %v", again, known)
	}
	second, known := b.put(now.Token, "a", "3")
	if !known || second.Attempt != 2 {
		t.Errorf("O1: another in its place is %+v, known %v", second, known)
	}
	found, err := b.Outputs(b.ctx(), org, "t", 0, 0, 10)
	b.must(err)
	second.Replaces = ""
	if diff := cmp.Diff([]task.Output{second}, found); diff != "" {
		t.Errorf("O1: %s", diff)
	}
}

// What begins a file renews the lease, and so does what ends it.
func TestO1AFileRenewsTheLease(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	for _, write := range []func(){
		func() { b.must(b.AwaitOutput(b.ctx(), who(), "t", token)) },
		func() { b.put(token, "a", "1") },
		func() { b.put(token, "a", "1") },
	} {
		b.clock.forward(lease * 3 / 4)
		write()
		b.must(b.Sweep(b.ctx()))
		b.shows("t", task.Executing, "")
	}
}

func TestO1ATurnHasAThousandAtMost(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	for i := range task.MaxOutputs {
		b.put(token, strconv.Itoa(i), "1")
	}
	b.unchanged("t", func() {
		_, _, err := b.WriteOutput(b.ctx(), who(), "t", token, outputOf("one more", "1"))
		b.refused(err, fault.Invalid)
	})
	b.put(token, "7", "2")
	_, err := b.Finish(b.ctx(), org, "t", token, lifecycle.Outcome{Reason: task.EndCompleted})
	b.must(err)
	b.put(b.run("t", nil), "in the next turn", "1")
}
