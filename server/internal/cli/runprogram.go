package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/program"
)

// programAgent is the id of the agent whose tasks are done by programs of 'errand run'.
// Each task is pinned to the worker of its run, and that does no other: a task that
// somebody else has made for this agent must not get a program, and the environment of
// whoever runs it.
const programAgent = "program"

// behindDashes are the words behind --, if there is one in front of them.
func behindDashes(words []string) (_ []string, dashes bool) {
	if len(words) > 0 && words[0] == "--" {
		return words[1:], true
	}
	return words, false
}

// programs is a program that does the task.
func (c *runCmd) programs(e *env, servers connection) (party, error) {
	words, dashes := behindDashes(c.Program)
	switch {
	case !dashes:
		return party{}, exitCodeError{exitUsage, fmt.Sprintf("unexpected argument %s: put the prompt in quotation marks, and a program behind --; see errand run --help", c.Program[0])}
	case c.Agent != "" || c.Model != "":
		return party{}, misused("either a program behind --, or --agent and --model")
	}
	box, err := c.box(c.Data)
	if err != nil {
		return party{}, err
	}
	p := program.Program{Run: words, Env: environment(), Events: c.Events == "json", TTY: c.TTY, Box: box}
	if err := p.Check(); err != nil {
		return party{}, err
	}
	who := party{
		agent: programAgent, program: &p,
		define: func(ctx context.Context, client *errand.Client) error {
			return provide(ctx, client, programAgent, slog.New(slog.DiscardHandler))
		},
	}
	at, own, err := c.where(e, servers)
	if who.place, who.said = at, []string{fmt.Sprintf("The program %s does it, as a task of %s.", words[0], at.URL)}; own {
		who.options, who.said = func(*app.Options) {}, []string{fmt.Sprintf("The program %s does it.", words[0])}
	}
	return who, err
}

// environment names the variables that a program of 'errand run' sees: those of whoever
// has typed it, but for what is Errand's own, such as keys.
func environment() (names []string) {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if name != "" && !strings.HasPrefix(name, "ERRAND_") {
			names = append(names, name)
		}
	}
	return names
}

// helper is a worker that lives for one run.
type helper struct {
	*env // whose context ends if the server will have no such worker

	worker string // its id
	task   string // the id of the only task that it does
	leave  func() // ends it, and with it the program
}

// errNotOurs ends a task of another maker. It would wait for ever: no run does it.
var errNotOurs = errors.New("the agent " + programAgent + " does the tasks of 'errand run … -- PROGRAM' alone, each in its own run")

// hire starts a worker in this process.
func hire(e *env, client *errand.Client, p program.Program) *helper {
	w := errand.NewWorker(client, errand.WorkerOptions{ID: "run-" + strings.ToLower(rand.Text()[:12]), Slots: 1, Drain: time.Second, Grace: program.DefaultGrace})
	h := helper{worker: w.ID(), task: uuid.Must(uuid.NewV7()).String()}
	do := handler(client, p)
	w.Handle(programAgent, func(ctx context.Context, a *errand.Attempt) (string, error) {
		if a.Task.ID != h.task {
			return "", errNotOurs
		}
		return do(ctx, a)
	})
	during, refused := context.WithCancelCause(e.ctx)
	working, leave := context.WithCancel(context.WithoutCancel(e.ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.Run(working); err != nil {
			refused(fmt.Errorf("the program cannot do tasks of %s: %w", programAgent, err))
		}
	}()
	own := *e
	own.ctx = during
	h.env, h.leave = &own, func() { leave(); <-done; refused(nil) }
	return &h
}

// only makes a task one for this worker: when it has gone, nobody else may try again.
func (h *helper) only(r errand.TaskRequest) errand.TaskRequest {
	r.ID = h.task
	r.WorkerID, r.MaxAttempts, r.ExpiresIn = h.worker, 1, time.Hour
	return r
}
