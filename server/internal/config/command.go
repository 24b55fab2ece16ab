package config

import (
	"time"

	yaml "go.yaml.in/yaml/v4"

	"github.com/errand-dev/errand/server/internal/program"
)

// setter reads one field of a command.
type setter func(f *File, key string, value *yaml.Node, p *program.Program) error

// fields are what a command may have.
func fields() map[string]setter {
	return map[string]setter{
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
		"timeout": func(f *File, key string, value *yaml.Node, p *program.Program) (err error) {
			p.Timeout, err = f.duration(key, value)
			return err
		},
		"grace": func(f *File, key string, value *yaml.Node, p *program.Program) (err error) {
			p.Grace, err = f.duration(key, value)
			return err
		},
	}
}

// serverFields are what an MCP server may have: no task is its own.
func serverFields() map[string]setter {
	all := fields()
	return map[string]setter{"run": all["run"], "dir": all["dir"], "env": all["env"], "grace": all["grace"]}
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
