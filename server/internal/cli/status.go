package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/errand-dev/errand"
)

type statusCmd struct {
	remote
}

// Help says what cannot be said in flags.
func (statusCmd) Help() string {
	return "Tasks are stuck when nothing goes on with them before somebody does something: starts a worker, answers, raises a budget, resumes." +
		"\n\nExit code: 0 the server answers, 1 there is none, or it does not answer or not with this key."
}

// condition is what a server says of itself and of its tasks.
type condition struct {
	Server string `json:"server"`
	From   string `json:"from"` // where the server was named
	*errand.ServerInfo
	Workers  workerCount           `json:"workers"`
	Tasks    map[errand.Status]int `json:"tasks"`
	Capped   []errand.Status       `json:"capped"`
	NeedsYou int                   `json:"needs_you"`
	Stuck    []stuck               `json:"stuck"`
	Trouble  []errand.Trouble      `json:"trouble"`
	Docs     string                `json:"docs"`
	Web      string                `json:"web_ui"` // "" for none
}

type workerCount struct {
	There int `json:"there"`
	Busy  int `json:"busy"` // of those that are there
	Away  int `json:"away"`
}

// stuck are tasks that wait for somebody to do something.
type stuck struct {
	Reason string `json:"reason"`
	Tasks  int    `json:"tasks"`
	Capped bool   `json:"capped"` // there are more
	// Task is the newest of them, and Message says why it waits.
	Task    string `json:"task_id"`
	Message string `json:"message"`
}

// stuckBy are the reasons to wait that do not pass by themselves.
var stuckBy = [...]string{"no_worker", "pinned_worker_absent", "person", "approval", "budget", "paused"} //nolint:gochecknoglobals // a constant list

// Run shows how the server is.
func (c *statusCmd) Run(e *env) error {
	at, err := c.find()
	if err != nil {
		return err
	}
	client, err := at.client()
	if err != nil {
		return err
	}
	x := condition{Server: at.URL, From: at.from, Docs: at.URL + "/v1/docs", Stuck: []stuck{}}
	if err := e.interruptible(func(ctx context.Context) error { return x.look(ctx, client) }); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.Out, x)
	}
	x.show(e, c.again)
	return nil
}

// look asks the server a bounded number of questions, whatever it has.
func (x *condition) look(ctx context.Context, client *errand.Client) (err error) {
	if x.ServerInfo, err = client.Server(ctx); err != nil {
		return err
	}
	if x.UI {
		x.Web = x.Server + "/ui/"
	}
	list, err := client.Workers(ctx, "")
	if err != nil {
		return err
	}
	for _, w := range list {
		switch {
		case !w.Connected:
			x.Workers.Away++
		case w.Busy:
			x.Workers.Busy++
			fallthrough
		default:
			x.Workers.There++
		}
	}
	counts, err := client.Tasks.Counts(ctx, errand.ListOptions{})
	if err != nil {
		return err
	}
	x.Tasks, x.Capped, x.NeedsYou = counts.ByStatus, counts.Capped, counts.NeedsYou
	if x.Trouble, err = client.Trouble(ctx); err != nil {
		return err
	}
	for _, reason := range stuckBy {
		page, err := client.Tasks.Rows(ctx, errand.ListOptions{WaitingFor: reason, PerPage: 1})
		if err != nil {
			return err
		}
		if len(page.Items) == 0 {
			continue
		}
		first := page.Items[0]
		x.Stuck = append(x.Stuck, stuck{reason, page.Total, page.TotalIsCapped, first.ID, waitingLine(first.Waiting)})
	}
	return nil
}

func (x *condition) show(e *env, again func(string) string) {
	w := newTable(e.Out)
	w.pair("server", x.Server+" ("+x.From+")")
	w.pair("version", x.Version)
	w.pair("store", x.Store)
	nodes := make([]string, 0, len(x.Nodes))
	for _, n := range x.Nodes {
		nodes = append(nodes, n.ID+" (heard "+ago(n.LastHeard)+")")
	}
	w.pair("nodes", strings.Join(nodes, ", "))
	w.pair("workers", x.Workers.String())
	w.pair("tasks", x.counted())
	if x.NeedsYou > 0 {
		w.pair("asks you", fmt.Sprintf("in %s: %s", plural(x.NeedsYou, "task"), again("inbox")))
	}
	for _, s := range x.Stuck {
		number := plural(s.Tasks, "task")
		if s.Capped {
			number = "more than " + number
		}
		w.pair("stuck", fmt.Sprintf("%s: %s", number, s.Message))
		w.row("", again("task list --waiting "+s.Reason))
	}
	for _, t := range x.Trouble {
		if t.Filter == nil || !slices.Contains(stuckBy[:], t.Filter.WaitingFor) { // which was said above
			w.pair("trouble", t.Message)
			w.row("", t.Help)
		}
	}
	w.pair("docs", x.Docs)
	w.pair("web UI", x.Web)
	w.end()
}

// String says how many workers there are.
func (c workerCount) String() string {
	if c == (workerCount{}) {
		return "none"
	}
	text := fmt.Sprintf("%d there", c.There)
	if c.Busy > 0 {
		text += fmt.Sprintf(" (%d busy)", c.Busy)
	}
	if c.Away > 0 {
		text += fmt.Sprintf(", %d away", c.Away)
	}
	return text
}

// counted says how many tasks have which status, in the order in which tasks have them.
func (x *condition) counted() string {
	var words []string
	for _, status := range errand.Statuses() {
		if n := x.Tasks[status]; n > 0 {
			number := strconv.Itoa(n)
			if slices.Contains(x.Capped, status) {
				number = "more than " + number
			}
			words = append(words, number+" "+string(status))
		}
	}
	if words == nil {
		return "none"
	}
	return strings.Join(words, ", ")
}

// plural is a number of things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
