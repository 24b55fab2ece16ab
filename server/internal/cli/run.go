package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/agentfile"
	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/files"
)

type runCmd struct {
	Prompt string     `arg:"" help:"What is to be done; - reads it from standard input."`
	File   []string   `help:"A file, - for standard input, or an http(s) URL, for the task; may be repeated." short:"f" placeholder:"FILE" sep:"none"`
	Agent  string     `help:"Who is to do it: profile, which uses no model; a file of agents, or FILE#ID; or an agent of a server. Left out: a model if there is one, for files else profile." placeholder:"ID|FILE"`
	Model  string     `help:"The model to ask, in the place of the one that would be chosen or that the agent has." placeholder:"NAME"`
	Budget budgetFlag `help:"What it and its sub-tasks may use, for example tokens=100000." placeholder:"LIMITS"`
	Open   bool       `help:"Show it in the web UI, live: a browser is opened, and on a terminal the link is printed, which signs in once. An own server stays until Ctrl-C."`
	reading
	JSON    bool   `help:"Print the finished task as JSON, and nothing else."`
	Server  string `help:"URL of a server to use instead of an own one." env:"ERRAND_URL" placeholder:"URL"`
	Key     string `help:"Its key; without it the one that was kept for it." env:"ERRAND_API_KEY" placeholder:"KEY"`
	Profile string `help:"A server that 'errand login' has kept, to use instead of an own one." placeholder:"NAME"`
	Data    string `help:"Data folder of a server on this machine, used when nothing above says which." default:".errand" env:"ERRAND_DATA"`
	Own     bool   `help:"Bring an own server, even if there is another."`
	Events  string `help:"json: lines of the program's output may be events; see docs/CONFIGURATION.md." enum:",json" default:"" placeholder:"json"`
	TTY     bool   `name:"tty" help:"Make the program's output a pseudo-terminal, for one that shows nothing for long otherwise."`
	confinement
	Program []string `arg:"" optional:"" passthrough:"partial" help:"A program and its arguments, behind --, that does the task."`
}

// Help says what cannot be said in flags.
func (runCmd) Help() string {
	return "errand run 'Count these words' -- wc -w has any program do the task: it reads the prompt on standard input, and what it writes is shown and is the result." +
		" The task is at the server that the other commands find, and where there is none, or with --own, at one that lives for this run." +
		" Without --agent and a program, the server's only agent that asks a model does it. Where it has none, or there is no server, a model of the environment is asked:" +
		" with OPENAI_API_KEY (OPENAI_BASE_URL for a compatible endpoint), else with ANTHROPIC_API_KEY, else one of an Ollama that runs here (or at OLLAMA_HOST). If there is none, the profiler reads the files." +
		" --agent agents.yaml has a task done by the first agent of a file, agents.yaml#writer by another one of it, with an own server; at a server that is named, the file's agents are applied first." +
		"\n\nExit code: 0 completed, 3 failed, 4 error, 5 stopped, 130 stopped by Ctrl-C, 1 anything else."
}

// Run runs the task: at the server that is named, at the one that has the agent, or
// with one of its own in a temporary folder.
func (c *runCmd) Run(e *env) (err error) {
	if c.Open && !isTerminal(e.Err) {
		return errOpen
	}
	prompt, err := e.prompt(c.Prompt)
	if err != nil {
		return err
	}
	if err := checkFiles(c.File); err != nil {
		return err
	}
	who, err := c.party(e)
	if err != nil {
		return err
	}
	at := who.place
	if who.options != nil {
		server, startErr := startOwn(e.ctx, who.options)
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, server.stop()) }()
		at.profile = profile{server.URL(), server.FirstStart().Key}
	}
	client, err := at.client()
	if err != nil {
		return err
	}
	err = e.interruptible(func(ctx context.Context) error {
		if err := who.define(ctx, client); err != nil {
			return err
		}
		if !c.JSON {
			for _, line := range who.given(c.File) {
				fmt.Fprintln(e.Err, printable(line))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	request := errand.TaskRequest{AgentID: who.agent, Prompt: prompt, Budget: c.Budget.Budget, ModelName: who.model}
	if who.program == nil {
		return c.see(e, client, request, who.options != nil)
	}
	helper := hire(e, client, *who.program)
	defer helper.leave()
	return c.see(helper.env, client, helper.only(request), who.options != nil)
}

// see creates the task and follows it to its end.
func (c *runCmd) see(e *env, client *errand.Client, request errand.TaskRequest, own bool) error {
	var task *errand.Task
	err := e.interruptible(func(ctx context.Context) (err error) {
		task, err = create(ctx, client, request, c.File)
		return err
	})
	if err != nil {
		return err
	}
	if c.Open {
		if err := c.show(e, client, task.ID); err != nil {
			return err
		}
	}
	f := follower{env: e, client: client, stops: true, quiet: c.JSON, asWritten: c.asWritten(task)}
	if !own {
		f.back = c.servers().again
	}
	err = f.follow(task.ID, c.JSON)
	if e.ctx.Err() != nil { // nobody is there who could do it
		_, stopErr := client.Tasks.Stop(context.WithoutCancel(e.ctx), task.ID)
		return errors.Join(err, stopErr)
	}
	if c.Open && own && isTerminal(e.Err) && !cutShort(err) {
		fmt.Fprintln(e.Err, "The web UI is there until Ctrl-C.")
		<-e.interrupts
	}
	return err
}

// show opens the page of a task.
func (c *runCmd) show(e *env, client *errand.Client, id string) error {
	return e.interruptible(func(ctx context.Context) error {
		link, err := client.SignInLink(ctx, "/ui/tasks/"+url.PathEscape(id))
		if err == nil {
			open(e, link)
		}
		return err
	})
}

// servers says which server is meant, as for the other commands.
func (c *runCmd) servers() connection {
	return connection{Server: c.Server, Key: c.Key, Profile: c.Profile, Data: c.Data}
}

// party decides who does the task, and where.
func (c *runCmd) party(e *env) (who party, err error) {
	servers := c.servers()
	if c.Own && servers.named() {
		return party{}, misused("either --own or a server (--server, ERRAND_URL or --profile), not both")
	}
	if len(c.Program) > 0 {
		return c.programs(e, servers)
	}
	if agentfile.IsName(c.Agent) {
		crew, err := readCrew(e, c.Agent)
		if err != nil {
			return party{}, err
		}
		if !servers.named() {
			return crew.own(c.Model)
		}
		at, err := servers.find()
		if err != nil {
			return party{}, err
		}
		return crew.at(at, c.Model), nil
	}
	at, own, err := c.where(e, servers)
	switch {
	case err != nil:
		return party{}, err
	case own && c.Agent == app.ProfileAgent:
		return profiler(), nil
	case own && c.Agent != "":
		_, err := servers.find()
		if c.Own {
			err = errNoServer
		}
		return party{}, fmt.Errorf("--agent %s: without a server there is only %s, or a file of agents; %w", c.Agent, app.ProfileAgent, err)
	case c.Agent != "":
		return atServer(at, c.Agent, c.Model), nil
	}
	err = e.interruptible(func(ctx context.Context) error {
		if !own {
			if who, err = c.whoIsThere(ctx, at); err != nil || who.agent != "" {
				return err
			}
		}
		who, err = choose(ctx, c.Model, len(c.File) > 0)
		return err
	})
	return who, err
}

// where is the server that the other commands find; own says that there is none, or that
// none is wanted.
func (c *runCmd) where(e *env, servers connection) (at place, own bool, err error) {
	if c.Own {
		return place{}, true, nil
	}
	return servers.seek(e.ctx)
}

// whoIsThere is the only agent of a server that asks a model, or else, for files, its
// profiler; nobody if the server is not named and has neither.
func (c *runCmd) whoIsThere(ctx context.Context, at place) (party, error) {
	client, err := at.client()
	if err != nil {
		return party{}, err
	}
	agents, err := client.Agents.List(ctx)
	if err != nil {
		return party{}, err
	}
	asking := idsOf(agents, func(a errand.Agent) bool { return a.Runtime == "model" })
	switch {
	case len(asking) == 1:
		return atServer(at, asking[0], c.Model), nil
	case len(asking) > 1:
		return party{}, whoIsTo("do it", at, asking)
	case len(c.File) > 0 && c.Model == "":
		return atServer(at, app.ProfileAgent, ""), nil
	case c.Server == "" && c.Profile == "":
		return party{}, nil
	}
	return party{}, whoIsTo("do it", at, idsOf(agents, func(errand.Agent) bool { return true }))
}

// idsOf are the ids of the agents that are meant.
func idsOf(agents []errand.Agent, meant func(errand.Agent) bool) (ids []string) {
	for _, a := range agents {
		if meant(a) {
			ids = append(ids, a.ID)
		}
	}
	return ids
}

// whoIsTo asks for --agent.
func whoIsTo(do string, at place, ids []string) error {
	return fmt.Errorf("who is to %s? Name an agent of %s with --agent: %s", do, at.URL, strings.Join(ids, ", "))
}

// atServer is an agent that a server has.
func atServer(at place, id, model string) party {
	who := profiler()
	if id != app.ProfileAgent {
		who.said = []string{"The agent " + id + " of " + at.URL + " does it."}
	}
	who.agent, who.model, who.place, who.options = id, model, at, nil
	who.define = func(ctx context.Context, client *errand.Client) error {
		_, err := client.Agents.Get(ctx, id) // before files go anywhere
		return err
	}
	return who
}

// checkFiles looks before anything is started or sent.
func checkFiles(names []string) error {
	for _, f := range names {
		if isURL(f) {
			continue
		}
		if err := checkFile(f); err != nil {
			return fmt.Errorf("--file %w", err)
		}
	}
	return nil
}

func checkFile(name string) error {
	if name == stdin {
		return nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, errors.Unwrap(err))
	}
	switch {
	case info.IsDir():
		return fmt.Errorf("%s: is a folder; name its files", name)
	case info.Mode().IsRegular() && info.Size() > files.MaxSize:
		return fmt.Errorf("%s: has %s; a file may have 1 GiB", name, bytesBriefly(info.Size()))
	}
	return nil
}

// create uploads the files and creates the task.
func create(ctx context.Context, client *errand.Client, r errand.TaskRequest, files []string) (*errand.Task, error) {
	for _, name := range files {
		if isURL(name) {
			r.FileURLs = append(r.FileURLs, name)
			continue
		}
		uploaded, err := upload(ctx, client, name)
		if err != nil {
			return nil, err
		}
		r.FileURLs = append(r.FileURLs, uploaded.URL)
	}
	return client.Tasks.Create(ctx, r)
}

func upload(ctx context.Context, client *errand.Client, name string) (*errand.File, error) {
	content, err := contentOf(ctx, name)
	if err != nil {
		return nil, err
	}
	defer content.Close() //nolint:errcheck // it was only read
	short := filepath.Base(name)
	if name == stdin {
		short = "stdin"
	}
	file, err := client.Files.Upload(ctx, short, content)
	if err != nil {
		return nil, fmt.Errorf("upload %s: %w", name, err)
	}
	return file, nil
}

func isURL(name string) bool {
	return strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
}

// ownServer is an embedded server in a temporary folder.
type ownServer struct {
	*app.App
	dir string
}

func startOwn(ctx context.Context, change func(*app.Options)) (*ownServer, error) {
	// A reader that leaves (| head) must not end the program before it has
	// cleaned up.
	signal.Ignore(syscall.SIGPIPE)
	dir, err := os.MkdirTemp("", "errand-run-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder (in TMPDIR): %w", err)
	}
	a, err := startIn(ctx, dir, change)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &ownServer{App: a, dir: dir}, nil
}

// startIn starts a server for this process alone, with a data folder.
func startIn(ctx context.Context, data string, change func(*app.Options)) (*app.App, error) {
	o := app.DefaultOptions()
	o.Addr, o.Data, o.Drain = "127.0.0.1:0", data, 2*time.Second
	o.Log = slog.New(slog.DiscardHandler)
	change(&o)
	return app.Start(ctx, o)
}

func (s *ownServer) stop() error { return errors.Join(s.Stop(), os.RemoveAll(s.dir)) }

// cutShort reports whether Ctrl-C has ended what a command did.
func cutShort(err error) bool {
	exit, ok := errors.AsType[exitCodeError](err)
	return ok && exit.code == exitInterrupted
}
