package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/errand-dev/errand"
)

// answer puts to whoever types what a turn asks, until nothing of it is open that is
// theirs to answer: others may do so, too. Ctrl-C and the end of the input leave it open,
// and the conversation.
func (t *talk) answer(id string, after int64) error {
	ctx, cancel := context.WithCancel(t.ctx)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	answered := make(chan struct{}, 1)
	listening.Go(func() {
		for _, err := range t.client.Tasks.Events(ctx, id, errand.After(after), errand.OnlyTypes(errand.ApprovalAnswered, errand.TaskFinished)) {
			if err != nil {
				return // an answer that comes from elsewhere is found with the next one
			}
			select {
			case answered <- struct{}{}:
			default:
			}
		}
	})
	for shown := ""; ; {
		asked, err := t.open(id)
		if err != nil || asked == nil {
			return err
		}
		if asked.ID != shown {
			t.put(*asked)
			shown = asked.ID
		}
		select {
		case line, is := <-t.lines:
			if !is {
				fmt.Fprintln(t.Err)
				t.stays(*asked)
				return errLeft
			}
			if shown, err = t.reply(*asked, strings.TrimSpace(line)); err != nil {
				return err
			}
		case <-answered:
		case <-t.interrupts:
			fmt.Fprintln(t.Err)
			t.stays(*asked)
			return exitCodeError{code: exitInterrupted}
		}
	}
}

// errLeft ends a conversation that nobody types into any more.
var errLeft = errors.New("no more is typed")

// open is the first open thing that a turn asks and that is not for others, nil for none.
func (t *talk) open(id string) (first *errand.Approval, err error) {
	err = t.interruptible(func(ctx context.Context) error {
		for a, err := range t.client.Approvals.OfTask(ctx, id) {
			if err != nil {
				return err
			}
			if a.Status == errand.ApprovalOpen && !t.others[a.ID] {
				first = &a
				return nil
			}
		}
		return nil
	})
	return first, err
}

// put shows what is asked.
func (t *talk) put(a errand.Approval) {
	t.note("? " + headline(a))
	for _, line := range particulars(a) {
		t.note("  " + line)
	}
	t.prompt(answerPrompt(a))
}

// reply answers with what was typed. It returns what is shown then: nothing if it is to
// be shown again.
func (t *talk) reply(a errand.Approval, line string) (shown string, err error) {
	reply, said := replyOf(a, line)
	if !said {
		t.prompt(answerPrompt(a))
		return a.ID, nil
	}
	err = t.interruptible(func(ctx context.Context) error {
		_, err := t.client.Approvals.Answer(ctx, a.ID, reply)
		return err
	})
	switch code := errand.CodeOf(err); {
	case err == nil, code == errand.CodeConflict: // somebody was faster
		return "", nil
	case code == errand.CodeForbidden:
		t.report(err)
		if t.others == nil {
			t.others = map[string]bool{}
		}
		t.others[a.ID] = true
		return "", nil
	case code == "":
		return "", err
	default:
		t.report(err)
		return "", nil
	}
}

// stays says what becomes of a question that is left open.
func (t *talk) stays(a errand.Approval) {
	t.note("The question stays open: " + headline(a))
	if t.options == nil { // else the server ends with the conversation
		t.note("To answer it elsewhere: " + t.inbox)
	}
}
