package config

import (
	"math"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/errand-dev/errand/server/internal/task"
)

// capsOf reads the caps of all owners, or of all groups, by their names.
func (f *File) capsOf(section string, node *yaml.Node) error {
	key := within(capsKey, section)
	of := map[string]task.CapOf{"owners": task.CapOwner, "groups": task.CapGroup}[section]
	if of == "" {
		return f.wrong(node.Line, key, "is unknown; there may be owners and groups (an agent has caps in its record, a key at /v1/keys)")
	}
	return f.each(key, node, func(id string, value *yaml.Node) error {
		at := within(key, id)
		user, isKey := strings.HasPrefix(id, "user:"), strings.HasPrefix(id, "key:")
		if of == task.CapOwner && !user && !isKey && id != task.EachOf || id == "" {
			return f.wrong(value.Line, at, "an owner is user:NAME, key:ID or \"*\" for each")
		}
		rule := task.CapRule{Spender: task.Spender{Of: of, ID: id}}
		err := f.each(at, value, func(field string, value *yaml.Node) error {
			return f.cap(within(at, field), field, value, &rule.Caps)
		})
		if err != nil {
			return err
		}
		if err := rule.Caps.Check(at); err != nil {
			return f.wrong(value.Line, "", "%w", err)
		}
		f.Caps = append(f.Caps, rule)
		return nil
	})
}

// cap reads one field of caps.
func (f *File) cap(at, field string, value *yaml.Node, into *task.Caps) (err error) {
	switch field {
	case "day":
		into.Day, err = f.allowance(at, value)
	case "month":
		into.Month, err = f.allowance(at, value)
	case "warn_at":
		into.WarnAt, err = f.amount(at, value)
	case "at_limit":
		var text string
		text, err = f.text(at, value)
		into.AtLimit = task.AtLimit(text)
	default:
		err = f.wrong(value.Line, at, "is unknown; there may be day, month, warn_at, at_limit")
	}
	return err
}

// allowance reads what may be spent in a day or a month.
func (f *File) allowance(key string, node *yaml.Node) (*task.Allowance, error) {
	a := new(task.Allowance)
	return a, f.each(key, node, func(field string, value *yaml.Node) error {
		at := within(key, field)
		amount, err := f.amount(at, value)
		switch {
		case err != nil:
			return err
		case field == "cost":
			a.Cost = amount
		case field == "tokens" && amount == math.Trunc(amount) && amount <= math.MaxInt64/2:
			a.Tokens = int64(amount)
		case field == "tokens":
			return f.wrong(value.Line, at, "must be a whole number")
		default:
			return f.wrong(value.Line, at, "is unknown; there may be tokens and cost")
		}
		return nil
	})
}

// amount reads a number that is not negative.
func (f *File) amount(at string, node *yaml.Node) (float64, error) {
	text, err := f.text(at, node)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || math.IsInf(n, 0) || math.IsNaN(n) {
		return 0, f.wrong(node.Line, at, "must be a number that is not negative, for example 2.50")
	}
	return n, nil
}
