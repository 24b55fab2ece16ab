package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/errand-dev/errand"
)

type taskWatchCmd struct {
	remote
	reading
	ID string `arg:"" help:"The task's id, or its first 6 characters or more."`
}

// Help says what cannot be said in flags.
func (taskWatchCmd) Help() string {
	return "Exit code: 0 completed, 3 failed, 4 error, 5 stopped, 130 left by Ctrl-C, 1 anything else. With --json each event is a line."
}

// Run follows the task. With --json it prints each event as a line.
func (c *taskWatchCmd) Run(e *env) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	var task *errand.Task
	// A stream waits for its server for as long as it takes; whoever has just
	// typed a wrong URL or id is to be told.
	err = e.interruptible(func(ctx context.Context) error {
		if err := whole(ctx, client, &c.ID); err != nil {
			return err
		}
		task, err = client.Tasks.Get(ctx, c.ID)
		return err
	})
	if err != nil {
		return err
	}
	if !c.JSON {
		f := follower{env: e, client: client, back: c.again, asWritten: c.asWritten(task)}
		return f.follow(c.ID, false)
	}
	return e.interruptible(func(ctx context.Context) error {
		for event, err := range client.Tasks.Events(ctx, c.ID) {
			if err == nil {
				err = printJSON(e.Out, event)
			}
			if err != nil {
				return err
			}
		}
		task, err := client.Tasks.Get(ctx, c.ID)
		if err != nil {
			return err
		}
		return exitFor(task)
	})
}

type taskWaitCmd struct {
	remote
	reading
	IDs []string `arg:"" name:"id" help:"The tasks' ids, or the first 6 characters or more of each."`
}

// Help says what cannot be said in flags.
func (taskWaitCmd) Help() string {
	return "The results are printed in the order of the ids, each as its task ends. Exit code: that of the first task that has not completed:" +
		" 3 failed, 4 error, 5 stopped; 0 if all have, 130 left by Ctrl-C, 1 anything else. With --json each task is a line."
}

// Run waits for one task after the other.
func (c *taskWaitCmd) Run(e *env) error {
	return c.callOn(e, pointers(c.IDs), func(ctx context.Context, client *errand.Client) error {
		var first error
		for _, id := range c.IDs {
			if _, err := client.Tasks.Get(ctx, id); err != nil { // a stream waits for its server for as long as it takes
				return err
			}
			task, err := client.Tasks.Wait(ctx, id)
			if err != nil {
				return err
			}
			if c.JSON {
				fmt.Fprintln(e.Out, string(task.JSON()))
			} else if task.Result != "" {
				printText(e, task.Result, c.asWritten(task))
			}
			if first == nil {
				first = exitFor(task)
			}
		}
		return first
	})
}

type taskEventsCmd struct {
	remote
	ID     string `arg:"" help:"The task's id, or its first 6 characters or more."`
	After  int64  `help:"Only those behind the event of this number."`
	Follow bool   `help:"Go on with what comes, until the task ends or Ctrl-C." short:"f"`
	Turns  bool   `name:"all-turns" help:"Those of earlier turns, too."`
}

// Run prints the log as it is now, or follows it.
func (c *taskEventsCmd) Run(e *env) error {
	err := c.callOn(e, []*string{&c.ID}, func(ctx context.Context, client *errand.Client) error {
		task, err := client.Tasks.Get(ctx, c.ID)
		if err != nil {
			return err
		}
		if c.After >= task.LastEventSeq && !c.Follow {
			return nil // there is nothing behind it yet
		}
		return c.print(ctx, e, client, task.LastEventSeq)
	})
	if c.Follow && !c.JSON && cutShort(err) {
		f := follower{env: e, back: c.again}
		f.goesOn(c.ID)
	}
	return err
}

// print prints the events up to the last one that there is now; when it follows, those
// in columns, and what comes then as it comes.
func (c *taskEventsCmd) print(ctx context.Context, e *env, client *errand.Client, last int64) error {
	var options []errand.StreamOption
	if c.After > 0 || c.Turns {
		options = append(options, errand.After(c.After))
	}
	w := newTable(e.Out)
	defer func() { w.end() }()
	for event, err := range client.Tasks.Events(ctx, c.ID, options...) {
		if err != nil {
			return err
		}
		if !c.JSON {
			w.row(strconv.FormatInt(event.ID, 10), event.Time.Local().Format(time.TimeOnly), string(event.Type), event.Author.String(), brief(event))
		} else if err := printJSON(e.Out, event); err != nil {
			return err
		}
		if event.ID < last {
			continue
		}
		if !c.Follow {
			return nil
		}
		w.end()
		w = newTable(e.Out)
	}
	return nil
}

// briefLength bounds what is shown of an event in a table.
const briefLength = 100

// brief says in a few words what an event is about.
func brief(e errand.Event) string {
	text := strings.TrimSpace(e.Text())
	var started struct {
		Attempt int    `json:"attempt"`
		Worker  string `json:"worker_id"`
	}
	if change, is := e.Change(); is {
		text = changed(change)
	} else if e.Type == errand.AttemptStarted && e.Decode(&started) == nil {
		text = fmt.Sprintf("attempt %d, worker %s", started.Attempt, started.Worker)
	} else if e.Type == errand.AttemptLost {
		text = lostWhy(e)
	} else if e.Type == errand.OutputWritten {
		text = written(e)
	} else if e.Type == errand.FileGiven {
		text = givenBriefly(e)
	} else if text == "" && string(e.Data) != "null" && string(e.Data) != "{}" {
		text = string(e.Data)
	}
	return fitting(strings.Join(strings.Fields(text), " "), briefLength)
}

// lostWhy says why an attempt was over before its turn was.
func lostWhy(e errand.Event) string {
	var lost struct {
		Reason string `json:"reason"`
	}
	if e.Decode(&lost) != nil || lost.Reason == "" {
		return "the worker was lost"
	}
	return lost.Reason
}

// written says which file was written.
func written(e errand.Event) string {
	var o errand.Output
	if e.Decode(&o) != nil {
		return "a file"
	}
	return fmt.Sprintf("%s (%s)", o.Name, bytesBriefly(o.Size))
}

// changed says in a few words what became of a task.
func changed(c errand.Change) string {
	var words []string
	if c.Status != nil {
		words = append(words, string(*c.Status))
	}
	if c.EndReason != nil && *c.EndReason != "" && (c.Status == nil || string(*c.EndReason) != string(*c.Status)) {
		words = append(words, "("+string(*c.EndReason)+")")
	}
	if c.WorkerID != nil && *c.WorkerID != "" {
		words = append(words, "worker "+*c.WorkerID)
	}
	if c.InternalStatus != nil && *c.InternalStatus != "" {
		words = append(words, *c.InternalStatus)
	}
	if c.By != "" {
		words = append(words, "by "+c.By)
	}
	if c.Result != nil {
		words = append(words, *c.Result)
	}
	return strings.Join(words, " ")
}

type taskThreadCmd struct {
	remote
	reading
	ID   string `arg:"" help:"The task's id, or its first 6 characters or more."`
	Full bool   `help:"With the tools that were called, and the threads of its sub-tasks."`
}

// Run prints the thread as it comes. With --json it is an array of messages as the
// server answers them.
func (c *taskThreadCmd) Run(e *env) error {
	return c.callOn(e, []*string{&c.ID}, func(ctx context.Context, client *errand.Client) error {
		messages := client.Tasks.Thread(ctx, c.ID)
		if c.Full {
			messages = client.Tasks.FullThread(ctx, c.ID)
		}
		raw, of := []json.RawMessage{}, ""
		for m, err := range messages {
			if err != nil {
				return err
			}
			if c.JSON {
				raw = append(raw, m.JSON)
				continue
			}
			m.TaskID = cmp.Or(m.TaskID, c.ID)
			switch {
			case m.TaskID != of && m.TaskID != c.ID:
				fmt.Fprintf(e.Out, "\n=== sub-task %s\n\n", printable(m.TaskID))
			case of != "":
				fmt.Fprintln(e.Out)
			}
			of = m.TaskID
			c.message(e, m)
		}
		if c.JSON {
			return printJSON(e.Out, raw)
		}
		return nil
	})
}

func (c *taskThreadCmd) message(e *env, m errand.Message) {
	who := m.Role
	if m.ToolName != "" {
		who += " " + m.ToolName
	}
	content := m.Content
	if content == "" && len(m.Payload) > 0 {
		content = string(m.Payload)
	}
	fmt.Fprintf(e.Out, "[%s, %s]\n", printable(who), when(m.CreatedAt))
	printText(e, content, c.Raw || m.Role != "assistant")
}
