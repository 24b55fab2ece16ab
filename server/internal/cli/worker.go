package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/program/sandbox"
	"github.com/errand-dev/errand/server/internal/task"
)

type workerCmd struct {
	connection
	Agent   []string      `help:"Whose tasks it does; may be repeated. One that does not exist is created." required:"" sep:"none"`
	ID      string        `help:"Its name, to which tasks can be pinned; otherwise made from this machine's name." env:"ERRAND_WORKER_ID"`
	Slots   int           `help:"Tasks at a time." default:"1"`
	Env     []string      `help:"A variable of this environment that the program may see; may be repeated." placeholder:"NAME" sep:"none"`
	Dir     string        `help:"Folder that the program starts in."`
	Events  string        `help:"json: lines of its output may be events; see docs/CONFIGURATION.md." enum:",json" default:"" placeholder:"json"`
	Timeout time.Duration `help:"How long the program may run for one task."`
	Grace   time.Duration `help:"How long it may take to end when it is told to." default:"5s"`
	Drain   time.Duration `help:"How long running tasks may go on after SIGTERM or Ctrl-C." default:"20s"`
	TTY     bool          `name:"tty" help:"Make the program's output a pseudo-terminal, for one that shows nothing for long otherwise."`
	confinement
	logging
	Command []string `arg:"" optional:"" passthrough:"" name:"command" help:"The program and its arguments, behind --."`
}

// Help says what cannot be said in flags.
func (workerCmd) Help() string {
	return "Runs a program for each task: errand worker --agent agent-123 -- ./my-agent --fast." +
		" It reads the prompt on standard input; what it writes is shown as it comes, and all of it is the result;" +
		" exit code 0 is success, and 75 gives the task back for later. It is the same as for agents of runtime command: see docs/CONFIGURATION.md."
}

// Run works until it is told to end. A second signal ends it, and all of its
// programs, at once.
func (c *workerCmd) Run(e *env) error {
	box, err := c.box(c.Data)
	if err != nil {
		return err
	}
	p := program.Program{
		Run: c.Command, Dir: c.Dir, Env: c.Env, Events: c.Events == "json", Timeout: c.Timeout, Grace: c.Grace, TTY: c.TTY, Box: box,
	}
	p.Run, _ = behindDashes(p.Run)
	switch {
	case len(p.Run) == 0:
		return misused("which program? Write it behind --, for example: errand worker --agent agent-123 -- ./my-agent")
	case c.Slots < 1 || c.Slots > 100:
		return misused("--slots must be from 1 to 100")
	}
	if err := p.Check(); err != nil {
		return err
	}
	log, err := c.logger(e)
	if err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	worker := errand.NewWorker(client, errand.WorkerOptions{ID: c.ID, Slots: c.Slots, Drain: c.Drain, Grace: cmp.Or(c.Grace, program.DefaultGrace), Log: log})
	for _, id := range c.Agent {
		worker.Handle(id, handler(client, p))
	}
	return c.work(e, client, worker, log)
}

func (c *workerCmd) work(e *env, client *errand.Client, worker *errand.Worker, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	go func() {
		s := <-e.interrupts
		log.Info("ending: running tasks may go on for a while", "signal", s.String(), "drain", c.Drain.String())
		cancel()
		<-e.interrupts
		log.Warn("told twice: leaving at once")
		os.Exit(exitError) // what runs dies with this process
	}()
	for _, id := range c.Agent {
		if err := provide(ctx, client, id, log); err != nil {
			return err
		}
	}
	working := log
	if c.Sandbox != sandbox.None {
		working = log.With("sandbox", c.Sandbox)
	}
	working.Info("working", "agents", strings.Join(c.Agent, ", "), "worker_id", worker.ID(), "slots", c.Slots)
	if err := worker.Run(ctx); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// provide sees to it that there is an agent for remote workers. A server that
// cannot be reached now is the worker's to wait for.
func provide(ctx context.Context, client *errand.Client, id string, log *slog.Logger) error {
	a, err := client.Agents.Get(ctx, id)
	switch {
	case errors.Is(err, errand.ErrNotFound):
		if _, err := client.Agents.Apply(ctx, id, errand.Agent{Name: id}); err != nil {
			return fmt.Errorf("there is no agent %s, and this key cannot make it (%w): errand agent apply %s, with an admin key", id, err, id)
		}
		log.InfoContext(ctx, "the agent was created", "agent_id", id)
	case errand.CodeOf(err) == "" && err != nil && ctx.Err() == nil:
		log.WarnContext(ctx, "the server cannot be reached: waiting for it", "error", unreachable(err))
	case err != nil:
		return err
	case a.Runtime != "worker":
		return fmt.Errorf("--agent %s: the server itself executes its tasks (runtime %s)", id, a.Runtime)
	}
	return nil
}

// handler runs a program for each attempt (rules C1 to C4), with the same
// message as the server gives to programs of its own.
func handler(client *errand.Client, p program.Program) errand.Handler {
	return func(ctx context.Context, at *errand.Attempt) (string, error) {
		a := asker{at, client}
		message, err := program.Message(a.Task.JSON())
		if err != nil {
			return "", err
		}
		answers, err := a.answersTo(ctx)
		if err != nil { // it has not begun
			return "", errand.Later(err, program.LaterThan(a.Number))
		}
		result, err := p.Execute(ctx, program.Attempt{
			TaskID: a.Task.ID, Number: a.Number, Task: a.Task.JSON(), Message: message, TraceParent: a.TraceParent(), Models: (*program.Models)(a.Models()),
			Emit: func(ctx context.Context, said []program.Event) error {
				for _, event := range said {
					if err := a.Emit(ctx, errand.EventType(event.Type), event.Data); err != nil {
						return err
					}
				}
				return nil
			},
			Step: a.Step, Ask: a.ask, Answers: answers,
			Output: func(ctx context.Context, name string, content io.ReadSeeker) error {
				_, err := a.Output(ctx, name, content)
				if errors.Is(err, errand.ErrInvalid) || errors.Is(err, errand.ErrTooLarge) {
					return &program.RefusedError{Reason: err.Error()}
				}
				return err
			},
			Lost: func(cause error) bool { return errors.Is(cause, errand.ErrLeaseLost) },
		})
		if exit, is := errors.AsType[*program.ExitError](err); is && exit.Later() {
			return "", errand.Later(err, program.LaterThan(a.Number))
		}
		return result, err
	}
}

// asker is an attempt whose program asks people.
type asker struct {
	*errand.Attempt
	client *errand.Client
}

// ask implements program.AskFunc.
func (a asker) ask(ctx context.Context, q task.Asked) (*program.Answer, error) {
	asked := errand.Question{
		Key: q.Key, Kind: errand.ApprovalKind(q.Kind), Title: q.Title, Message: q.Message, ToolName: q.ToolName,
		Payload: q.Payload, Schema: q.Schema, Approvers: q.Approvers,
	}
	if q.Deadline != 0 {
		asked.Deadline = q.Deadline.Time()
	}
	if q.Default != nil {
		asked.Default = &errand.Reply{Answer: errand.Verdict(q.Default.Answer), Value: q.Default.Value, Note: q.Default.Note}
	}
	came, err := a.Ask(ctx, asked)
	switch {
	case errors.Is(err, errand.ErrWaiting):
		return nil, program.ErrWaiting
	case err != nil:
		return nil, err
	case came.Expired:
		return &program.Answer{Status: task.ApprovalExpired}, nil
	}
	answer := answerOf(came.Answered)
	return &answer, nil
}

// answersTo is what has come of what the turn has asked. The first attempt has asked
// nothing yet.
func (a asker) answersTo(ctx context.Context) (map[string]program.Answer, error) {
	answers := map[string]program.Answer{}
	if a.Number <= 1 {
		return answers, nil
	}
	for x, err := range a.client.Approvals.OfTask(ctx, a.Task.ID) {
		switch {
		case err != nil:
			return nil, fmt.Errorf("read what people have answered: %w", err)
		case x.Answered != nil:
			answers[x.Key] = answerOf(*x.Answered)
		case x.Status != errand.ApprovalOpen:
			answers[x.Key] = program.Answer{Status: task.ApprovalState(x.Status)}
		}
	}
	return answers, nil
}

func answerOf(a errand.Answered) program.Answer {
	return program.Answer{
		Status: task.ApprovalDone, Answer: task.Answer(a.Answer), Value: a.Value, Note: a.Note, By: a.By, At: task.StampOf(a.At), ByDefault: a.ByDefault,
	}
}
