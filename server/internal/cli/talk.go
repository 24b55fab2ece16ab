package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/errand-dev/errand"
)

// talk is a conversation on the terminal, or with what writes lines to a pipe. Each
// message is a turn of one task, the thread.
type talk struct {
	*env
	party
	client   *errand.Client
	thread   string          // its id, "" before the first message
	before   *errand.Task    // of a thread that goes on
	files    []string        // that go with the next message
	terminal bool            // messages are typed
	back     string          // the command that comes back, without the thread's id
	inbox    string          // the command that shows what else is asked
	others   map[string]bool // ids of what is asked that others are to answer

	lines chan string
	last  error // how the last turn ended
}

func (t *talk) run() error {
	for _, line := range t.said {
		t.note(line)
	}
	t.lines = make(chan string)
	go t.read()
	if t.before != nil {
		if err := t.resume(); err != nil {
			return t.leave(err)
		}
	}
	if t.terminal {
		t.note("Ctrl-C stops an answer, Ctrl-D leaves.")
	}
	for {
		message, more, err := t.message()
		if err != nil || !more {
			return t.leave(err)
		}
		if strings.TrimSpace(message) == "" {
			continue
		}
		if err := t.turn(message); err != nil {
			return t.leave(err)
		}
	}
}

func (t *talk) note(line string) { fmt.Fprintln(t.Err, printable(line)) }

// read reads the lines that come in. The next is read only when somebody wants it.
func (t *talk) read() {
	defer close(t.lines)
	scan := bufio.NewScanner(t.In)
	scan.Buffer(nil, maxPrompt)
	for scan.Scan() {
		t.lines <- scan.Text()
	}
	if err := scan.Err(); err != nil {
		t.note("errand: " + err.Error())
	}
}

// message is the next one; more is false when there is none. Ctrl-C takes back what was
// typed.
func (t *talk) message() (text string, more bool, err error) {
	t.prompt("> ")
	for {
		select {
		case line, is := <-t.lines:
			if !is {
				return "", false, t.end()
			}
			rest, goesOn := strings.CutSuffix(line, `\`)
			if text += rest; !goesOn {
				return text, true, nil
			}
			text += "\n"
			t.prompt("… ")
		case s := <-t.interrupts:
			if s != os.Interrupt || !t.terminal {
				return "", false, exitCodeError{code: exitInterrupted}
			}
			text = ""
			t.prompt("\n> ")
		}
	}
}

func (t *talk) prompt(sign string) {
	if t.terminal {
		fmt.Fprint(t.Err, sign)
	}
}

// end is what becomes of the program when no more messages come.
func (t *talk) end() error {
	if t.terminal {
		fmt.Fprintln(t.Err) // below the prompt
		return nil
	}
	return t.last
}

// leave says how to come back, and returns how the program ends.
func (t *talk) leave(err error) error {
	if t.thread != "" {
		t.note("To come back: " + t.back + " " + t.thread)
	}
	if errors.Is(err, errLeft) {
		return nil
	}
	return err
}

// resume shows what was said last, and follows the turn if it has not ended.
func (t *talk) resume() error {
	if prompt := t.before.Input.Text; prompt != "" {
		t.note("> " + prompt)
	}
	if !t.before.Status.Ends() {
		return t.follow(t.thread)
	}
	newView(t.env, false).end(t.before)
	return nil
}

// turn sends a message and shows the answer. What the server refuses is told; somebody
// who types may try again.
func (t *talk) turn(message string) error {
	var task *errand.Task
	err := t.interruptible(func(ctx context.Context) (err error) {
		task, err = create(ctx, t.client, errand.TaskRequest{AgentID: t.agent, ID: t.thread, Prompt: message, ModelName: t.model}, t.files)
		return err
	})
	switch {
	case err == nil:
		t.thread, t.files = task.ID, nil
		return t.follow(task.ID)
	case t.terminal:
		t.report(err)
		return nil
	default:
		return err
	}
}

// follow shows a turn to its end, and takes the answers to what it asks from whoever
// types. Ctrl-C stops it; a second one leaves without waiting until that is confirmed. Any
// other signal stops it and ends the conversation.
func (t *talk) follow(id string) error {
	f := follower{env: t.env, client: t.client, stops: true, thoughts: true, asks: t.terminal}
	err := f.follow(id, false)
	for errors.Is(err, errAsked) {
		if err = t.answer(id, f.after); err != nil {
			return err
		}
		err = f.follow(id, false)
	}
	if f.told != nil && f.told != os.Interrupt {
		return exitCodeError{code: exitInterrupted}
	}
	ended, is := errors.AsType[exitCodeError](err)
	if err != nil && (!is || ended.message != "") {
		return err
	}
	t.last = err
	return nil
}

func isTerminalIn(r any) bool {
	f, ok := r.(*os.File)
	return ok && isTerminal(f)
}
