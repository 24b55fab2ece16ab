package model

import "github.com/errand-dev/errand/server/internal/task"

// Price is what a million of a model's tokens cost.
type Price struct {
	Input, Output float64
	// CacheRead and CacheWrite are for those of the input that came from the provider's
	// cache and went into it; nil is as Input.
	CacheRead, CacheWrite *float64
}

// Prices are those of models, by their names: "gpt-4o", or "openai/gpt-4o", which goes
// before that.
type Prices map[string]Price

// Of finds the price of a model.
func (p Prices) Of(provider, model string) (Price, bool) { return of(p, provider, model) }

// Windows are how many tokens models take at once, by their names as in [Prices].
type Windows map[string]int64

// Of is the window of a model, 0 for what is not known.
func (w Windows) Of(provider, model string) int64 {
	found, _ := of(w, provider, model)
	return found
}

// of finds what is said of a model: under its name behind its provider's, or else alone.
func of[V any](all map[string]V, provider, model string) (V, bool) {
	if found, known := all[provider+"/"+model]; known {
		return found, true
	}
	found, known := all[model]
	return found, known
}

// Use is what a call of a model has used, with its cost if the price is known.
func (p Prices) Use(provider, model string, u Usage) task.Use {
	use := task.Use{Provider: provider, Model: model, Tokens: task.Tokens{
		Prompt: u.Prompt, Completion: u.Completion, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite,
	}}
	price, known := p.Of(provider, model)
	if !known {
		return use
	}
	or := func(other *float64) float64 {
		if other == nil {
			return price.Input
		}
		return *other
	}
	const million = 1e6
	cost := (float64(max(u.Prompt-u.CacheRead-u.CacheWrite, 0))*price.Input + float64(u.Completion)*price.Output +
		float64(u.CacheRead)*or(price.CacheRead) + float64(u.CacheWrite)*or(price.CacheWrite)) / million
	use.Cost = &cost
	return use
}
