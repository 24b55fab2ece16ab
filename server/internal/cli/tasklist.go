package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/errand-dev/errand"
)

// taskFilter says which tasks are meant.
type taskFilter struct {
	Agent          string   `help:"Only this agent's."`
	User           string   `help:"Only those of this person, by id."`
	Parent         string   `help:"Only the sub-tasks of this task."`
	Status         []string `help:"Only those with this status: pending, executing, paused, completed, failed, error or stopped; may be repeated." enum:"pending,executing,paused,completed,failed,error,stopped" placeholder:"STATUS"`
	InternalStatus string   `name:"internal-status" help:"Only those with this internal status."`
	Worker         string   `help:"Only those that this worker has, or had last."`
	EndReason      string   `name:"end-reason" help:"Only those that ended so: completed, failed, schema_mismatch, budget, worker_error, worker_lost, timeout, expired or stopped." enum:",completed,failed,schema_mismatch,budget,worker_error,worker_lost,timeout,expired,stopped" default:""`
	Waiting        string   `help:"Only those that wait for this, for example no_worker or person." placeholder:"REASON"`
	NeedsMe        bool     `name:"needs-me" help:"Only those in which a person is asked something."`
	Tag            string   `help:"Only those with this tag."`
	Roots          bool     `help:"Only those that are no sub-tasks."`
	From           moment   `help:"Created at or after this moment: 2006-01-02, or how long ago, for example 24h." placeholder:"MOMENT"`
	To             moment   `help:"Created before this moment." placeholder:"MOMENT"`
}

func (f taskFilter) empty() bool { return reflect.ValueOf(f).IsZero() }

// options are what the Go client calls them.
func (f taskFilter) options() errand.ListOptions {
	o := errand.ListOptions{
		AgentID: f.Agent, UserID: f.User, ParentTaskID: f.Parent, InternalStatus: f.InternalStatus, WorkerID: f.Worker, EndReason: errand.EndReason(f.EndReason),
		WaitingFor: f.Waiting, NeedsPerson: f.NeedsMe, Tag: f.Tag, Roots: f.Roots, From: f.From.Time, To: f.To.Time,
	}
	for _, status := range f.Status {
		o.Statuses = append(o.Statuses, errand.Status(status))
	}
	return o
}

type taskListCmd struct {
	remote
	taskFilter
	Limit int `help:"How many." default:"20"`
}

// pageSize is the most that the server answers at once.
const pageSize = 50

// Run prints a table of tasks.
func (c *taskListCmd) Run(e *env) error {
	if c.Limit < 1 {
		return misused("--limit must be at least 1")
	}
	if c.JSON {
		tasks := []json.RawMessage{}
		_, err := c.pages(e, func(ctx context.Context, client *errand.Client, o errand.ListOptions) (part, error) {
			page, err := client.Tasks.List(ctx, o)
			if err != nil {
				return part{}, err
			}
			for _, t := range page.Items {
				tasks = append(tasks, t.JSON())
			}
			return part{len(page.Items), page.Total, page.TotalIsCapped, page.NextCursor}, nil
		})
		if err != nil {
			return err
		}
		return printJSON(e.Out, tasks)
	}
	var tasks []errand.TaskRow
	total, err := c.pages(e, func(ctx context.Context, client *errand.Client, o errand.ListOptions) (part, error) {
		page, err := client.Tasks.Rows(ctx, o)
		if err != nil {
			return part{}, err
		}
		tasks = append(tasks, page.Items...)
		return part{len(page.Items), page.Total, page.TotalIsCapped, page.NextCursor}, nil
	})
	if err != nil {
		return err
	}
	w := newTable(e.Out, "ID", "AGENT", "STATUS", "CREATED", "TASK")
	for _, t := range tasks {
		w.row(t.ID, t.AgentID, string(t.Status), ago(t.CreatedAt), fitting(strings.Join(strings.Fields(cmp.Or(t.Title, t.Prompt)), " "), askedLength))
	}
	w.end()
	if total != "" {
		fmt.Fprintf(e.Err, "%d of %s; --limit shows more\n", len(tasks), total)
	}
	return nil
}

// part is what a page says of itself.
type part struct {
	items, total int
	capped       bool
	next         string
}

// pages reads pages until there are enough, and returns how many tasks there are in
// all, "" if these are all of them.
func (c *taskListCmd) pages(e *env, read func(context.Context, *errand.Client, errand.ListOptions) (part, error)) (total string, err error) {
	err = c.call(e, func(ctx context.Context, client *errand.Client) error {
		o := c.options()
		for have := 0; have < c.Limit; {
			o.PerPage = min(c.Limit-have, pageSize)
			p, err := read(ctx, client, o)
			if err != nil {
				return err
			}
			have += p.items
			if total = strconv.Itoa(p.total); p.capped {
				total = "more than " + total
			}
			if o.Cursor = p.next; o.Cursor == "" {
				total = ""
				return nil
			}
		}
		return nil
	})
	return total, err
}

// askedLength bounds what a table shows of a task's title or prompt.
const askedLength = 60
