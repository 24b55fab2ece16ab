package task

import (
	"encoding/json"
	"slices"

	"github.com/errand-dev/errand/server/internal/fault"
)

// Usage is what an attempt has used, by whoever has counted it. What its worker tells and
// what the server has counted may be the same, so the larger is taken (B1).
type Usage struct {
	// Told are the tokens and Duration the seconds of work that its worker tells, in all.
	Told     Tokens  `json:"told"`
	Duration float64 `json:"duration,omitempty"`
	// Metered are those that the server has counted itself.
	Metered Tokens `json:"metered"`
}

// tokens are those that the attempt has used.
func (u Usage) tokens() Tokens { return u.Told.atLeast(u.Metered) }

// atLeast are the larger ones of each kind.
func (t Tokens) atLeast(x Tokens) Tokens {
	return Tokens{
		Prompt: max(t.Prompt, x.Prompt), Completion: max(t.Completion, x.Completion),
		CacheRead: max(t.CacheRead, x.CacheRead), CacheWrite: max(t.CacheWrite, x.CacheWrite),
	}
}

// since are those that were used after a moment at which it were fewer.
func (t Tokens) since(was Tokens) Tokens {
	return Tokens{
		Prompt: t.Prompt - was.Prompt, Completion: t.Completion - was.Completion,
		CacheRead: t.CacheRead - was.CacheRead, CacheWrite: t.CacheWrite - was.CacheWrite,
	}
}

// orNone are tokens, or none.
func (t *Tokens) orNone() Tokens {
	if t == nil {
		return Tokens{}
	}
	return *t
}

// tell takes what an attempt with a lease tells of itself along with what it does: a
// patch of fields of State. Its tokens, seconds and tools are its own, in all: they stand
// beside those of the turn's other attempts. It returns the attempt as it is then.
func (d *draft) tell(a Attempt, side json.RawMessage, result *string, adjusted []string) (Attempt, error) {
	var told struct {
		Tokens    *Tokens  `json:"tokens"`
		Duration  *float64 `json:"duration"`
		UsedTools []string `json:"used_tools"`
	}
	if len(side) > 0 && json.Unmarshal(side, &told) != nil {
		return a, fault.New(fault.Malformed, "fields of the wrong type")
	}
	before, was := d.t.state, a.Usage
	if err := d.lay(side, result, adjusted); err != nil {
		return a, err
	}
	s := &d.t.state
	if told.Tokens != nil { // what is told in all does not fall: a word may overtake another
		a.Usage.Told = told.Tokens.atLeast(was.Told)
		sum := before.Tokens.orNone()
		sum.Add(a.Usage.tokens().since(was.tokens()))
		sum = sum.atLeast(d.t.Metered.orNone())
		s.Tokens = &sum
	}
	if told.Duration != nil {
		a.Usage.Duration = max(*told.Duration, was.Duration)
		s.Duration = before.Duration + a.Usage.Duration - was.Duration
	}
	if told.UsedTools != nil {
		s.UsedTools = joined(before.UsedTools, told.UsedTools)
	}
	if a.Usage != was {
		d.keep(a)
	}
	return a, nil
}

// joined are names and those of more that are not among them.
func joined(names, more []string) []string {
	all := slices.Clone(names)
	for _, name := range more {
		if !slices.Contains(names, name) && len(all) < MaxUsedTools {
			all = append(all, name)
		}
	}
	return all
}

// tellLate takes what an attempt has used that has lost its turn, which may have ended:
// it was used all the same. It returns the attempt as it is then.
func (d *draft) tellLate(a *Attempt, side json.RawMessage) (*Attempt, error) {
	if a == nil || a.Turn != d.t.Terms.Turn || len(side) == 0 {
		return a, nil
	}
	if run := d.t.Run; run != nil && run.Number == a.Number {
		a = run
	}
	told, err := d.tell(*a, pick(side, "tokens", "duration", "used_tools"), nil, nil)
	if err != nil {
		return a, err
	}
	d.logChange("worker " + a.WorkerID)
	return &told, nil
}
