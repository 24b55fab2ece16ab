package lifecycle_test

import (
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

func TestA4CommandsAreNamedNotGiven(t *testing.T) {
	t.Parallel()
	b := open(t)
	apply := func(r agent.Record) error {
		r.Name = "x"
		_, err := b.PutAgent(b.ctx(), org, "x", r)
		return err
	}
	says := func(err error, want string) {
		t.Helper()
		b.refused(err, fault.Invalid)
		if !strings.Contains(err.Error(), want) {
			t.Errorf("A4: %v", err)
		}
	}
	says(apply(agent.Record{Runtime: agent.Command, Command: "lint"}), "defines no commands")
	b.DefineCommands([]string{"review", "lint"})
	says(apply(agent.Record{Runtime: agent.Command, Command: "sh"}), `does not define "sh", only lint, review`)
	says(apply(agent.Record{Runtime: agent.Command}), "must name a program")
	says(apply(agent.Record{Runtime: agent.Worker, Command: "lint"}), "for runtime command only")
	if _, err := b.Agent(b.ctx(), org, "x", 0); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("A4: a refused agent was stored: %v", err)
	}
	b.must(apply(agent.Record{Runtime: agent.Command, Command: "lint"}))
}

func TestA4TaskWaitsForAnUnknownCommand(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.DefineCommands([]string{"lint"})
	_, err := b.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, Runtime: agent.Command, Command: "lint"})
	b.must(err)
	waits := b.submit("t", nil)
	why, err := b.WhyWaiting(b.ctx(), waits)
	b.must(err)
	if why.Reason != "no_worker" || !strings.Contains(why.Message, "the server executes agent bot itself") {
		t.Errorf("A4: %+v", why)
	}
	b.DefineCommands(nil) // a start with another configuration
	why, err = b.WhyWaiting(b.ctx(), waits)
	b.must(err)
	if why.Reason != "no_worker" || !strings.Contains(why.Message, `does not define the command "lint" of agent bot`) {
		t.Errorf("A4: %+v", why)
	}
}

func TestL4CommandsAreNotRetriedUnasked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		record agent.Record
		want   task.Status
	}{
		{"L4 left open", agent.Record{}, task.Error},
		{"L4 retry_started", agent.Record{RetryStarted: true}, task.Pending},
		{"L4 max_attempts", agent.Record{MaxAttempts: 2}, task.Pending},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			b.DefineCommands([]string{"lint"})
			c.record.Name, c.record.Runtime, c.record.Command = bot, agent.Command, "lint"
			_, err := b.PutAgent(b.ctx(), org, bot, c.record)
			b.must(err)
			b.run("t", nil)
			b.later(lease)
			if s := b.state("t"); s.Status != c.want {
				t.Errorf("L4: %s (%s), want %s", s.Status, s.EndReason, c.want)
			}
		})
	}
}
