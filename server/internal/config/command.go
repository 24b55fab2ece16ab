package config

import (
	"maps"
	"strconv"
	"time"

	yaml "go.yaml.in/yaml/v4"

	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/program/sandbox"
)

// setter reads one field of a command.
type setter func(f *File, key string, value *yaml.Node, p *program.Program) error

// fields are what a command may have.
func fields() map[string]setter {
	all := map[string]setter{
		"run": func(f *File, key string, value *yaml.Node, p *program.Program) (err error) {
			p.Run, err = f.texts(key, value)
			return err
		},
		"dir": func(f *File, key string, value *yaml.Node, p *program.Program) (err error) {
			p.Dir, err = f.text(key, value)
			return err
		},
		"env": func(f *File, key string, value *yaml.Node, p *program.Program) (err error) {
			p.Env, err = f.texts(key, value)
			return err
		},
		"events": func(f *File, key string, value *yaml.Node, p *program.Program) error {
			form, err := f.text(key, value)
			if p.Events = form == "json"; err == nil && !p.Events {
				err = f.wrong(value.Line, key, "must be json, or be left out")
			}
			return err
		},
		"tty": func(f *File, key string, value *yaml.Node, p *program.Program) (err error) {
			p.TTY, err = f.yes(key, value)
			return err
		},
		"timeout": func(f *File, key string, value *yaml.Node, p *program.Program) (err error) {
			p.Timeout, err = f.duration(key, value)
			return err
		},
		"grace": func(f *File, key string, value *yaml.Node, p *program.Program) (err error) {
			p.Grace, err = f.duration(key, value)
			return err
		},
	}
	maps.Copy(all, boxFields())
	return all
}

// boxFields say how a program is confined.
func boxFields() map[string]setter {
	text := func(field func(*sandbox.Box) *string) setter {
		return func(f *File, key string, value *yaml.Node, p *program.Program) (err error) {
			*field(&p.Box), err = f.text(key, value)
			return err
		}
	}
	return map[string]setter{
		"sandbox": text(func(b *sandbox.Box) *string { return &b.Kind }),
		"image":   text(func(b *sandbox.Box) *string { return &b.Image }),
		"network": text(func(b *sandbox.Box) *string { return &b.Network }),
		"read": func(f *File, key string, value *yaml.Node, p *program.Program) (err error) {
			p.Box.Read, err = f.texts(key, value)
			return err
		},
		"memory": func(f *File, key string, value *yaml.Node, p *program.Program) error {
			size, err := f.text(key, value)
			if err != nil {
				return err
			}
			if p.Box.Memory, err = sandbox.ParseSize(size); err != nil {
				return f.wrong(value.Line, key, "%w", err)
			}
			return nil
		},
		"processes": func(f *File, key string, value *yaml.Node, p *program.Program) error {
			number, err := f.text(key, value)
			if err != nil {
				return err
			}
			if p.Box.Processes, err = strconv.Atoi(number); err != nil || p.Box.Processes < 1 {
				return f.wrong(value.Line, key, "must be a number, 1 at least")
			}
			return nil
		},
		"cpu": func(f *File, key string, value *yaml.Node, p *program.Program) (err error) {
			p.Box.CPU, err = f.duration(key, value)
			return err
		},
	}
}

// serverFields are what an MCP server may have: no task is its own.
func serverFields() map[string]setter {
	all := fields()
	for _, field := range []string{"events", "timeout", "tty"} {
		delete(all, field)
	}
	return all
}

func (f *File) duration(key string, value *yaml.Node) (time.Duration, error) {
	text, err := f.text(key, value)
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, f.wrong(value.Line, key, "must be a duration, for example 30s or 10m")
	}
	return d, nil
}
