package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/errand-dev/errand"
)

// mostStats is how far back what happened is kept.
const mostStats = 400 * 24 * time.Hour

type statsCmd struct {
	remote
	Last  time.Duration `help:"How far back; no more than 400d is kept." default:"1h"`
	Agent string        `help:"Only this agent's tasks."`
	By    string        `help:"What it is summed up by." enum:"agent,model" default:"agent"`
}

// Help says what cannot be said in flags.
func (statsCmd) Help() string {
	return "WAIT is how long tasks were ready before they started, RUN how long those that ended took from their start: of half of them, and of 95 %." +
		" Of a model only what was spent is known." +
		"\n\n--json has it by steps: of a minute for an hour, of a quarter of an hour for two days, of an hour for 20 days, of a day for more."
}

// step is how long the parts of a time are.
func (c *statsCmd) step() time.Duration {
	switch {
	case c.Last <= time.Hour:
		return time.Minute
	case c.Last <= 48*time.Hour:
		return 15 * time.Minute
	case c.Last <= 20*24*time.Hour:
		return time.Hour
	default:
		return 24 * time.Hour
	}
}

// Run prints a table of what happened.
func (c *statsCmd) Run(e *env) error {
	if c.Last <= 0 || c.Last > mostStats {
		return misused("--last must be more than 0 and at most 400d")
	}
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		found, err := client.Stats(ctx, errand.StatsQuery{From: time.Now().Add(-c.Last), Step: c.step(), AgentID: c.Agent, ByModel: c.By == "model"})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(e.Out, found)
		}
		if c.By == "model" {
			statsOfModels(e, found)
		} else {
			statsOfAgents(e, found)
		}
		return nil
	})
}

func statsOfAgents(e *env, found *errand.Stats) {
	w := newTable(e.Out, "AGENT", "CREATED", "ENDED", "WRONG", "WAIT", "95 %", "RUN", "95 %", "TOKENS", "COST")
	for _, x := range found.By {
		agentStats(w, x.ID, x.StatsCounts)
	}
	agentStats(w, "(all)", found.Total)
	w.end()
}

func agentStats(w table, id string, c errand.StatsCounts) {
	var ended, wrong int64
	for reason, n := range c.Ended {
		ended += n
		if s := reason.Status(); s == errand.Failed || s == errand.Errored {
			wrong += n
		}
	}
	w.row(id, strconv.FormatInt(c.Created, 10), strconv.FormatInt(ended, 10), strconv.FormatInt(wrong, 10),
		lasted(c.StartWait, c.StartWait.P50), lasted(c.StartWait, c.StartWait.P95), lasted(c.Run, c.Run.P50), lasted(c.Run, c.Run.P95),
		strconv.FormatInt(c.Tokens, 10), amount(c.Cost))
}

// statsOfModels has of a model what was spent, which is all that counts for one.
func statsOfModels(e *env, found *errand.Stats) {
	w := newTable(e.Out, "MODEL", "TOKENS", "COST")
	spent := func(id string, c errand.StatsCounts) { w.row(id, strconv.FormatInt(c.Tokens, 10), amount(c.Cost)) }
	for _, x := range found.By {
		switch {
		case x.ID != "":
			spent(x.ID, x.StatsCounts)
		case x.Tokens != 0 || x.Cost != 0:
			spent("(unknown)", x.StatsCounts)
		}
	}
	spent("(all)", found.Total)
	w.end()
}

// lasted is about how long something took, "" where nothing was measured.
func lasted(of errand.StatsSpread, seconds float64) string {
	if of.Count == 0 {
		return ""
	}
	d := time.Duration(seconds * float64(time.Second))
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 100*unit { // two digits are known
			return d.Round(unit).String()
		}
	}
}
