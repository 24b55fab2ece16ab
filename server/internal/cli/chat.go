package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/agentfile"
	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/model"
)

type chatCmd struct {
	connection
	Thread string   `arg:"" optional:"" help:"The id of a task whose conversation goes on; left out, a new one begins."`
	Agent  string   `help:"Who answers: an agent's id, or a file of agents, or FILE#ID. Left out: the thread's, else a model if there is one." placeholder:"ID|FILE"`
	Model  string   `help:"The model to ask, in the place of the one that would be chosen or that the agent has." placeholder:"NAME"`
	File   []string `help:"A file, or an http(s) URL, that goes with the first message; may be repeated." short:"f" placeholder:"FILE" sep:"none"`
}

// Help says what cannot be said in flags.
func (chatCmd) Help() string {
	return "Type a line, see the answer come; a line that ends with \\ goes on in the next one. Ctrl-C stops the answer, Ctrl-D leaves and says how to come back." +
		" When the agent asks something, or wants a call of a tool approved, type the answer; Ctrl-C then leaves the question in 'errand inbox'." +
		" What does not come from a terminal is a message for each line: echo 'Why?' | errand chat." +
		" Each message is a turn of one task, so the conversation survives the end of this program and of the server." +
		" Where no server is found, an own one keeps it in the data folder, and the agent is chosen as 'errand run' does." +
		" Exit code when the messages come from elsewhere than a terminal: 0 the last turn completed, 3 failed, 4 error, 5 stopped; 130 ended by Ctrl-C, 1 anything else."
}

// Run talks until there is nothing more to say.
func (c *chatCmd) Run(e *env) (err error) {
	if err := checkFiles(c.File); err != nil {
		return err
	}
	who, err := c.party(e)
	if err != nil {
		return err
	}
	if who.options != nil {
		server, startErr := startIn(e.ctx, c.Data, who.options)
		if startErr != nil {
			return startErr
		}
		unlist, listErr := list(server, c.Data)
		defer func() {
			unlist()
			err = errors.Join(err, server.Stop())
		}()
		if listErr != nil {
			return listErr
		}
		who.place.profile = profile{server.URL(), server.FirstStart().Key}
	}
	client, err := who.place.client()
	if err != nil {
		return err
	}
	t := talk{env: e, client: client, party: who, thread: c.Thread, files: c.File, terminal: isTerminalIn(e.In), back: c.back(), inbox: c.again("inbox")}
	if err := e.interruptible(func(ctx context.Context) error { return c.meet(ctx, &t) }); err != nil {
		return err
	}
	return t.run()
}

// party decides who answers, and where. Who it is may be left to the thread.
func (c *chatCmd) party(e *env) (who party, err error) {
	at, own, err := c.seek(e.ctx)
	if err != nil {
		return party{}, err
	}
	inFile := agentfile.IsName(c.Agent)
	var among crew
	if inFile {
		if among, err = readCrew(e, c.Agent); err != nil {
			return party{}, err
		}
	}
	if !own {
		if inFile {
			return among.at(at, c.Model), nil
		}
		who = atServer(at, c.Agent, c.Model)
		if c.Agent == "" {
			who.define, who.said = nothing, nil
		}
		return who, nil
	}
	_, err = os.Stat(app.KeyFile(c.Data))
	switch {
	case inFile:
		who, err = among.own(c.Model)
	case c.Agent == app.ProfileAgent:
		return profiler(), nil
	case err != nil && (c.Thread != "" || c.Agent != ""):
		return party{}, fmt.Errorf("%w has it: start one with 'errand serve', set ERRAND_URL, or 'errand login URL' (there is no data folder %s)", errNoServer, c.Data)
	default:
		who, err = party{agent: c.Agent, model: c.Model, define: nothing, options: func(*app.Options) {}}, nil
	}
	if err != nil {
		return party{}, err
	}
	accounts, err := model.FromEnvironment(os.Getenv)
	options := who.options
	who.options = func(o *app.Options) {
		options(o)
		o.Providers = accounts
		for _, p := range accounts { // the thread may be with any of them
			o.AllowModelHosts = append(o.AllowModelHosts, p.Host())
		}
	}
	return who, err
}

// meet finds who answers if nobody was named: the thread's agent, else at an own server
// the model that the environment has, else the server's only agent that asks a model.
func (c *chatCmd) meet(ctx context.Context, t *talk) error {
	if c.Thread != "" {
		if err := whole(ctx, t.client, &c.Thread); err != nil {
			return err
		}
		t.thread = c.Thread
		task, err := t.client.Tasks.Get(ctx, c.Thread)
		if err != nil {
			return err
		}
		if t.agent != "" && t.agent != task.AgentID {
			return fmt.Errorf("--agent %s: the thread %s is with the agent %s", t.agent, c.Thread, task.AgentID)
		}
		t.agent, t.before = task.AgentID, task
	}
	own := t.options != nil
	switch {
	case own && c.Agent == "" && (t.agent == "" || t.agent == modelAgent):
		who, err := choose(ctx, c.Model, false)
		if err != nil {
			return err
		}
		t.agent, t.define, t.said = who.agent, who.define, who.said
	case t.agent == "":
		if err := c.only(ctx, t); err != nil {
			return err
		}
	}
	if len(t.said) == 0 {
		t.said = atServer(t.place, t.agent, "").said
	}
	return t.define(ctx, t.client)
}

// only takes the server's only agent that asks a model.
func (c *chatCmd) only(ctx context.Context, t *talk) error {
	agents, err := t.client.Agents.List(ctx)
	if err != nil {
		return err
	}
	ids := idsOf(agents, func(a errand.Agent) bool { return a.Runtime == "model" })
	if len(ids) == 0 {
		return whoIsTo("answer", t.place, idsOf(agents, func(errand.Agent) bool { return true }))
	}
	if len(ids) > 1 {
		return whoIsTo("answer", t.place, ids)
	}
	t.agent = ids[0]
	return nil
}

// back is the command that comes back to a thread, without its id.
func (c *chatCmd) back() string {
	command := c.again("chat")
	if agentfile.IsName(c.Agent) { // which the thread does not know
		command += " --agent " + quoted(c.Agent)
	}
	return command
}

// again is a command that talks to the same server.
func (c connection) again(command string) string {
	words := []string{"errand", command}
	for _, flag := range []struct{ name, value, known string }{
		{"--server", c.Server, os.Getenv("ERRAND_URL")},
		{"--profile", c.Profile, ""},
		{"--data", c.Data, cmp.Or(os.Getenv("ERRAND_DATA"), ".errand")},
	} {
		if flag.value != flag.known {
			words = append(words, flag.name, quoted(flag.value))
		}
	}
	return strings.Join(words, " ")
}

// quoted is a word as a shell reads it.
func quoted(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@%+=-") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
