package config

import (
	"strconv"

	yaml "go.yaml.in/yaml/v4"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/model"
)

// window reads how many tokens one model takes at once.
func (f *File) window(name string, node *yaml.Node) error {
	key := within(windowsKey, name)
	text, err := f.text(key, node)
	if err != nil {
		return err
	}
	tokens, err := strconv.ParseInt(text, 10, 64)
	if err != nil || tokens < 1 || tokens > agent.MaxWindow {
		return f.wrong(node.Line, key, "must be a number of tokens from 1 to %d, for example 128000", agent.MaxWindow)
	}
	if f.Windows == nil {
		f.Windows = model.Windows{}
	}
	f.Windows[name] = tokens
	return nil
}

// price reads what a million tokens of one model cost.
func (f *File) price(name string, node *yaml.Node) error {
	var p model.Price
	key := within(pricesKey, name)
	err := f.each(key, node, func(field string, value *yaml.Node) error {
		at := within(key, field)
		amount, err := f.amount(at, value)
		if err != nil {
			return err
		}
		switch field {
		case "input":
			p.Input = amount
		case "output":
			p.Output = amount
		case "cache_read":
			p.CacheRead = &amount
		case "cache_write":
			p.CacheWrite = &amount
		default:
			return f.wrong(value.Line, at, "is unknown; a price may have input, output, cache_read, cache_write")
		}
		return nil
	})
	if f.Prices == nil {
		f.Prices = model.Prices{}
	}
	f.Prices[name] = p
	return err
}
