package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/errand-dev/errand"
)

type usageCmd struct {
	remote
	Of  string `help:"Only what was spent for agents, groups, keys or owners." enum:",agent,group,key,owner" default:""`
	ID  string `name:"id" help:"Only this one of them, for example user:anna with --of owner."`
	Day day    `help:"A day, in whose month it is; today when left out (UTC)." placeholder:"YYYY-MM-DD"`
}

// Run prints a table of usage.
func (c *usageCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		var all []errand.Usage
		for u, err := range client.Usage(ctx, errand.UsageQuery{Of: errand.CapOf(c.Of), ID: c.ID, At: c.Day.Time}) {
			if err != nil {
				return err
			}
			all = append(all, u)
		}
		if c.JSON {
			return printJSON(e.Out, append([]errand.Usage{}, all...))
		}
		w := newTable(e.Out, "OF", "ID", "TOKENS/DAY", "COST/DAY", "TOKENS/MONTH", "COST/MONTH", "REACHED")
		for _, u := range all {
			day, month := limitsOf(u.Day), limitsOf(u.Month)
			w.row(string(u.Of), u.ID,
				ofLimit(float64(u.Day.Tokens), float64(day.Tokens)), ofLimit(u.Day.Cost, day.Cost),
				ofLimit(float64(u.Month.Tokens), float64(month.Tokens)), ofLimit(u.Month.Cost, month.Cost),
				strings.Join(append(reached("day", day), reached("month", month)...), ", "))
		}
		w.end()
		return nil
	})
}

func limitsOf(u errand.PeriodUsage) errand.CapInForce {
	if u.Cap == nil {
		return errand.CapInForce{}
	}
	return *u.Cap
}

// ofLimit is what was used, and of how much if that is limited.
func ofLimit(used, most float64) string {
	if most == 0 {
		return amount(used)
	}
	return amount(used) + " of " + amount(most)
}

// amount is a number without the noise of its last digits.
func amount(n float64) string {
	text := fmt.Sprintf("%.4f", n)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

func reached(period string, c errand.CapInForce) (list []string) {
	for _, limit := range c.Over {
		list = append(list, limit+" of the "+period)
	}
	return list
}
