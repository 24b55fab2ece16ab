package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/errand-dev/errand"
)

// follower follows a task to its end.
type follower struct {
	*env
	client *errand.Client
	// stops says that Ctrl-C stops the task; else it only stops following.
	stops bool
	quiet bool
	// asWritten says that the text is not shown as Markdown.
	asWritten bool
	// back is a command that comes back to the task, without its id; "" where the task is
	// gone with this program.
	back func(verb string) string
	// thoughts says that what the agent thinks is shown, too.
	thoughts bool
	// asks says that following ends with errAsked when the task waits for people. It
	// goes on behind that when it is called again.
	asks bool

	after int64     // the last event that was shown
	told  os.Signal // what has stopped the task, nil for nothing

	mu   sync.Mutex // guards view
	view *view
}

// show lets one goroutine at a time at the view.
func (f *follower) show(fn func(*view)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn(f.view)
}

// follow shows a task until it has ended and returns its exit code.
func (f *follower) follow(id string, asJSON bool) error {
	ctx, cancel := context.WithCancelCause(f.ctx)
	defer cancel(nil)
	told := make(chan os.Signal, 1)
	go func() { told <- f.attend(ctx, cancel, id) }()
	if f.view == nil {
		f.view = newView(f.env, f.asWritten)
		f.view.thoughts = f.thoughts
	}
	if f.back != nil && !f.quiet {
		f.show(func(v *view) { v.line("task " + id) })
	}
	var explaining sync.WaitGroup
	defer explaining.Wait()
	defer cancel(nil)
	if !f.quiet {
		explaining.Go(func() { f.explain(ctx, id) })
		explaining.Go(func() { f.tick(ctx) })
	}
	var from []errand.StreamOption
	if f.after > 0 {
		from = append(from, errand.After(f.after))
	}
	for e, err := range f.client.Tasks.Events(ctx, id, from...) {
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			f.show((*view).leave)
			if cutShort(err) && !f.stops {
				f.goesOn(id)
			}
			return err
		}
		if !f.quiet {
			f.show(func(v *view) { v.event(e) })
		}
		f.after = e.ID
		if f.asks && e.Type == errand.TurnPaused {
			if t, err := f.client.Tasks.Get(ctx, id); err == nil && t.Waiting != nil && len(t.Waiting.Approvals) > 0 {
				f.show((*view).rest)
				return errAsked
			}
		}
	}
	task, err := f.client.Tasks.Get(ctx, id)
	if err != nil {
		return err
	}
	cancel(nil)
	if asJSON {
		fmt.Fprintln(f.Out, string(task.JSON()))
	} else {
		f.show(func(v *view) { v.end(task) })
	}
	if f.told = <-told; f.told != nil && task.Status == errand.Stopped {
		return exitCodeError{code: exitInterrupted}
	}
	return exitFor(task)
}

// goesOn says that a task goes on without whoever has watched it, and how to come back.
func (f *follower) goesOn(id string) {
	if f.back == nil || f.quiet {
		return
	}
	fmt.Fprintf(f.Err, "The task goes on. To come back:  %s %s\nTo stop it:                      %s %s\n", f.back("task watch"), id, f.back("task stop"), id)
}

// errAsked is why following has ended: the task waits for people.
var errAsked = errors.New("the task waits for people")

// tick lets the view show how time passes.
func (f *follower) tick(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.show((*view).pass)
		}
	}
}

// explainEvery is how often a waiting task is asked what it waits for.
const explainEvery = 2 * time.Second

// explain says why a task is waiting for as long as it is.
func (f *follower) explain(ctx context.Context, id string) {
	tick := time.NewTicker(explainEvery)
	defer tick.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		waiting := false
		f.show(func(v *view) { waiting = v.status == errand.Pending || v.status == errand.Paused })
		if !waiting {
			last = ""
			continue
		}
		t, err := f.client.Tasks.Get(ctx, id)
		if err != nil || t.Waiting == nil || t.Waiting.Message == last {
			continue // the stream itself tells of trouble
		}
		last = t.Waiting.Message
		f.show(func(v *view) { v.say("waiting: " + waitingLine(t.Waiting)) })
	}
}

// attend waits for Ctrl-C. The first one stops the task, or ends the watching;
// a second one ends the program without waiting. It returns the first, nil for none.
func (f *follower) attend(ctx context.Context, cancel context.CancelCauseFunc, id string) os.Signal {
	var first os.Signal
	select {
	case <-ctx.Done():
		return nil
	case first = <-f.interrupts:
	}
	if !f.stops {
		cancel(exitCodeError{code: exitInterrupted})
		return first
	}
	if _, err := f.client.Tasks.Stop(ctx, id); err != nil {
		cancel(fmt.Errorf("stop task %s: %w", id, err))
		return first
	}
	select {
	case <-ctx.Done():
	case <-f.interrupts:
		told := "left without waiting for the worker to stop"
		if f.back != nil {
			told += "; to see it stop: " + f.back("task watch") + " " + id
		}
		cancel(exitCodeError{exitInterrupted, told})
	}
	return first
}
