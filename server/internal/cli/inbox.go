package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/errand-dev/errand"
)

type inboxCmds struct {
	List   inboxListCmd   `cmd:"" aliases:"ls" default:"withargs" help:"Show what tasks ask of people; on a terminal, answer it."`
	Answer inboxAnswerCmd `cmd:"" help:"Answer an approval or a question."`
}

type inboxListCmd struct {
	remote
	Status string `help:"open, answered, expired, closed or all." enum:"open,answered,expired,closed,all" default:"open"`
	Limit  int    `help:"How many." default:"20"`
}

// Help says what cannot be said in flags.
func (inboxListCmd) Help() string {
	return "On a terminal it asks for the answer to each that is open: y or n to an approval, the answer to a question; nothing leaves it open."
}

// Run prints what is asked, newest first.
func (c *inboxListCmd) Run(e *env) error {
	if c.Limit < 1 {
		return misused("--limit must be at least 1")
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	list, more, err := c.read(e, client)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return printJSON(e.Out, list)
	case c.Status == "open" && isTerminal(e.Out) && isTerminalIn(e.In):
		return c.answer(e, client, list)
	}
	w := newTable(e.Out, "ID", "TASK", "KIND", "STATUS", "DEADLINE", "ASKS")
	for _, a := range list {
		w.row(a.ID, a.TaskID, string(a.Kind), string(a.Status), when(a.Deadline), headline(a))
	}
	w.end()
	if more {
		fmt.Fprintf(e.Err, "the newest %d; --limit shows more\n", len(list))
	}
	return nil
}

func (c *inboxListCmd) read(e *env, client *errand.Client) (list []errand.Approval, more bool, err error) {
	status := errand.ApprovalStatus(c.Status)
	if status == "all" {
		status = ""
	}
	list = []errand.Approval{}
	err = e.interruptible(func(ctx context.Context) error {
		for a, err := range client.Approvals.All(ctx, status) {
			if err != nil {
				return err
			}
			if more = len(list) == c.Limit; more {
				return nil
			}
			list = append(list, a)
		}
		return nil
	})
	return list, more, err
}

// answer asks whoever sits at the terminal.
func (c *inboxListCmd) answer(e *env, client *errand.Client, list []errand.Approval) error {
	in := bufio.NewReader(e.In)
	for _, a := range list {
		fmt.Fprintf(e.Out, "\n%s, task %s: %s\n", a.Kind, a.TaskID, safeText(headline(a), true))
		for _, line := range particulars(a) {
			fmt.Fprintln(e.Out, "  "+safeText(line, true))
		}
		fmt.Fprint(e.Out, answerPrompt(a))
		line, err := await(e, func() (string, error) { return in.ReadString('\n') })
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		reply, said := replyOf(a, strings.TrimSpace(line))
		if !said {
			continue
		}
		if err := e.interruptible(func(ctx context.Context) error { _, err := client.Approvals.Answer(ctx, a.ID, reply); return err }); err != nil {
			fmt.Fprintln(e.Err, err)
		}
	}
	if len(list) == 0 {
		fmt.Fprintln(e.Out, "nobody asks anything")
	}
	return nil
}

type inboxAnswerCmd struct {
	remote
	ID      string `arg:"" help:"The approval's id."`
	Value   string `arg:"" optional:"" help:"The answer to a question: JSON, or else a text."`
	Decline bool   `help:"Say no."`
	Note    string `help:"Something for whoever asked."`
}

// Run gives the answer.
func (c *inboxAnswerCmd) Run(e *env) error {
	if c.Decline && c.Value != "" {
		return misused("--decline goes without a value: say why with --note")
	}
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		a, err := client.Approvals.Get(ctx, c.ID)
		if err != nil {
			return err
		}
		reply := errand.Reply{Answer: errand.Approve, Note: c.Note}
		switch {
		case c.Decline:
			reply.Answer = errand.Decline
		case c.Value != "":
			reply.Value = answerValue(a.Schema, c.Value)
		}
		a, err = client.Approvals.Answer(ctx, c.ID, reply)
		switch {
		case err != nil:
			return err
		case c.JSON:
			return printJSON(e.Out, a)
		}
		fmt.Fprintf(e.Out, "%s %s\n", a.ID, a.Status)
		return nil
	})
}
