package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/errand-dev/errand/server/internal/agentfile"
	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/durable"
	"github.com/errand-dev/errand/server/internal/httpapi/xpander"
	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/people"
	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/task"
)

type serveCmd struct {
	Config       string        `help:"Configuration file (YAML): these flags by their names, commands and mcp_servers; see docs/CONFIGURATION.md." env:"ERRAND_CONFIG" placeholder:"FILE"`
	Agents       string        `help:"File of agents (YAML or JSON), or a folder of such files, applied at the start and at SIGHUP; see docs/CONFIGURATION.md." env:"ERRAND_AGENTS" placeholder:"FILE"`
	Addr         string        `help:"Where to listen." default:"127.0.0.1:4747" env:"ERRAND_ADDR"`
	Data         string        `help:"Data folder." default:".errand" env:"ERRAND_DATA"`
	Open         bool          `help:"Open the web UI in a browser, signed in as the admin key of the data folder. On a terminal only: the link, which signs in once, is printed there."`
	DatabaseURL  string        `name:"database-url" help:"PostgreSQL URL; several servers may share the database, with one data folder for their files and keys, or --blobs. Use the variable, it may hold a password. Without it: SQLite in the data folder." env:"ERRAND_DATABASE_URL" placeholder:"postgres://…"`
	ListenURL    string        `name:"database-listen-url" help:"URL of the same PostgreSQL database past a pooler that lets no notifications through (PgBouncer in transaction mode): what other servers commit is then heard of at once, not within a second. Use the variable." env:"ERRAND_DATABASE_LISTEN_URL" placeholder:"postgres://…"`
	Blobs        string        `help:"Where the contents of files lie: folder, in the data folder; database, up to 64 MiB each; s3://bucket/prefix?endpoint=URL&region=NAME, with keys from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; see docs/CONFIGURATION.md." default:"folder" env:"ERRAND_BLOBS" placeholder:"PLACE"`
	PublicURL    string        `name:"public-url" help:"URL under which clients reach the server." env:"ERRAND_PUBLIC_URL"`
	TLSCert      string        `name:"tls-cert" help:"Certificate (PEM)." env:"ERRAND_TLS_CERT"`
	TLSKey       string        `name:"tls-key" help:"Private key (PEM)." env:"ERRAND_TLS_KEY"`
	AllowPrivate []string      `name:"allow-private" help:"Private networks that file URLs, models' endpoints and webhooks may point into, for example 10.0.0.0/8." env:"ERRAND_ALLOW_PRIVATE"`
	AllowModel   []string      `name:"allow-model-host" help:"Hosts, with their ports, at which agents' models may be although they are private, for example 127.0.0.1:11434." env:"ERRAND_ALLOW_MODEL_HOST" placeholder:"HOST:PORT"`
	KeepAlive    time.Duration `name:"keep-alive" help:"Silence after which a stream gets a comment." default:"15s" env:"ERRAND_KEEP_ALIVE"`
	WriteTimeout time.Duration `name:"write-timeout" help:"Limit of each write of an answer or a stream." default:"30s" env:"ERRAND_WRITE_TIMEOUT"`
	Drain        time.Duration `help:"How long running work may go on after SIGTERM." default:"20s" env:"ERRAND_DRAIN"`
	Slots        int           `help:"Tasks that the server itself executes at a time." default:"4" env:"ERRAND_SLOTS"`
	Model        string        `name:"model-name" help:"Model of agents that name none, for Python workers; gpt-4o-mini when left open." env:"ERRAND_MODEL_NAME"`
	LLMAPIBase   string        `name:"llm-api-base" help:"Base URL of their model's endpoint." env:"ERRAND_LLM_API_BASE"`
	Database     string        `name:"agent-database" help:"PostgreSQL URL, told to workers, in which agents of the organization default keep their sessions; use the variable, it may hold a password." env:"ERRAND_AGENT_DATABASE" placeholder:"postgresql://…"`
	MaxQueued    int           `name:"max-queued" help:"Most tasks of an agent that may wait; more are refused with 429. 0 is no limit." default:"0" env:"ERRAND_MAX_QUEUED"`
	CreateRate   float64       `name:"create-rate" help:"Most tasks that a key may create per second. 0 is no limit." default:"0" env:"ERRAND_CREATE_RATE"`
	Retain       []string      `help:"How long ended tasks are kept, 24h at least: 30d for all, failed=90d for a status, agent:A=7d for an agent, agent:A/failed=never for both; left out: until somebody deletes them." env:"ERRAND_RETAIN" placeholder:"RULE"`
	AgentTools   bool          `name:"mcp-agent-tools" help:"Make each agent a tool of its own for MCP clients, named by its id, beside run_agent; see docs/FRONTS.md." env:"ERRAND_MCP_AGENT_TOOLS"`
	logging

	commands map[string]program.Program // of the configuration file
	prices   model.Prices               // likewise
	windows  model.Windows              // likewise
	caps     []task.CapRule             // likewise
	servers  map[string]program.Program // of the same
	oidc     *people.Config             // of the same, nil for none
}

// Help says what cannot be said in flags.
func (serveCmd) Help() string {
	return "ERRAND_ADMIN_KEY, if set at the first start, becomes the admin key (32 characters or more)." +
		" ERRAND_SECRET_KEY (64 hexadecimal digits) seals secrets in place of the key in the data folder." +
		" ERRAND_OIDC_CLIENT_SECRET is the secret of the server at the provider with which people sign in: see docs/CONFIGURATION.md." +
		" OPENAI_API_KEY, OPENAI_BASE_URL, ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL and OLLAMA_HOST are the accounts of agents of runtime model." +
		" OTEL_EXPORTER_OTLP_ENDPOINT, with OpenTelemetry's other variables, sends traces to a collector: see docs/OPERATIONS.md."
}

func (c *serveCmd) options(e *env) (app.Options, error) {
	o := app.DefaultOptions()
	o.Addr, o.Data, o.DatabaseURL, o.PublicURL = c.Addr, c.Data, c.DatabaseURL, c.PublicURL
	o.ListenURL, o.Blobs = c.ListenURL, c.Blobs
	o.TLSCert, o.TLSKey = c.TLSCert, c.TLSKey
	o.KeepAlive, o.WriteTimeout, o.Drain, o.Slots = c.KeepAlive, c.WriteTimeout, c.Drain, c.Slots
	o.Commands, o.MCPServers, o.Caps = c.commands, c.servers, c.caps
	o.Prices, o.Windows = c.prices, c.windows
	o.MCPAgentTools = c.AgentTools
	o.MaxQueued, o.CreateRate = c.MaxQueued, c.CreateRate
	o.AdminKey, o.SecretKey = os.Getenv("ERRAND_ADMIN_KEY"), os.Getenv("ERRAND_SECRET_KEY")
	o.Defaults = xpander.Defaults{Model: c.Model, LLMAPIBase: c.LLMAPIBase, Database: c.Database}
	o.Version, o.Traces, o.AllowModelHosts = version(), true, c.AllowModel
	var err error
	if o.Providers, err = model.FromEnvironment(os.Getenv); err != nil {
		return o, err
	}
	for _, given := range c.AllowPrivate {
		p, err := netip.ParsePrefix(given)
		if err != nil {
			return o, misused(fmt.Sprintf("--allow-private %q: write a network, for example 10.0.0.0/8", given))
		}
		o.AllowPrivate = append(o.AllowPrivate, p)
	}
	if o.Retention, err = task.ParseRetention(c.Retain); err != nil {
		return o, misused("--retain " + err.Error())
	}
	log, err := c.logger(e)
	if err != nil {
		return o, err
	}
	o.Log = log
	if isTerminal(e.Err) && c.LogFormat == "text" {
		o.TaskLog = log // a person is there
	}
	if o.OIDC, err = c.provider(); err != nil {
		return o, err
	}
	if c.Agents != "" {
		o.Agents, err = agentfile.Read(c.Agents)
	}
	return o, err
}

// provider is what the configuration file says of the provider with which people sign in,
// with the secret that it does not say; nil for none.
func (c *serveCmd) provider() (*people.Config, error) {
	if c.oidc == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	o := *c.oidc
	o.ClientSecret = os.Getenv("ERRAND_OIDC_CLIENT_SECRET")
	if o.ClientSecret == "" && o.SecretFile != "" {
		content, err := os.ReadFile(o.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("oidc.client_secret_file: %w", err)
		}
		o.ClientSecret = strings.TrimSpace(string(content))
	}
	return &o, nil
}

// Run serves until it is told to end. A second signal ends it at once.
func (c *serveCmd) Run(e *env) error {
	if c.Open && !isTerminal(e.Err) {
		return errOpen
	}
	o, err := c.options(e)
	if err != nil {
		return err
	}
	if err := o.Validate(); err != nil {
		return misused(err.Error())
	}
	again, ignore := c.reloads(e) // from now on: what comes while the server starts is not its end
	defer ignore()
	giveHeapRoom()
	a, err := app.Start(e.ctx, o)
	if err != nil {
		return err
	}
	unlist, err := list(a, c.Data)
	if err != nil {
		o.Log.Warn("the local command line will not find this server", "error", err)
	}
	defer unlist()
	c.greet(e, a)
	if c.Open {
		link, err := a.SignInLink(e.ctx)
		if err != nil {
			return errors.Join(err, a.Stop())
		}
		open(e, link)
	}
	o.Log.Info("serving", "url", a.URL(), "data", c.Data)
	for serving := true; serving; {
		select {
		case <-again:
			c.reload(e, a, o.Log)
		case err = <-a.Failed():
			serving = false
		case s := <-e.interrupts:
			o.Log.Info("shutting down", "signal", s.String(), "drain", c.Drain.String())
			serving = false
		}
	}
	go func() {
		<-e.interrupts
		o.Log.Warn("told twice: leaving at once")
		os.Exit(exitError)
	}()
	if err := errors.Join(err, a.Stop()); err != nil {
		return err
	}
	o.Log.Info("stopped")
	return nil
}

// list lets the commands that use a data folder find its server, until unlist.
func list(a *app.App, data string) (unlist func(), err error) {
	// Whole or not at all: whoever waits for the file reads it at once.
	name := app.AddressFile(data)
	if err = durable.WriteFile(name, []byte(a.URL()+"\n")); err != nil {
		return func() {}, err
	}
	ours, err := os.Stat(name)
	return func() {
		// Of several servers with one folder the last one to start has written it.
		if now, err := os.Stat(name); err == nil && os.SameFile(ours, now) {
			_ = os.Remove(name) // nothing depends on it
		}
	}, err
}

// reloads yields a SIGHUP for each time that the agents are to be read again, or might
// be: a server without a file of them does not end by it either. On a terminal it ends
// the server as ever, for the terminal is gone.
func (c *serveCmd) reloads(e *env) (signals <-chan os.Signal, ignore func()) {
	if isTerminal(e.Err) {
		return nil, func() {}
	}
	again := make(chan os.Signal, 1)
	signal.Reset(syscall.SIGHUP)
	signal.Notify(again, syscall.SIGHUP)
	return again, func() { signal.Stop(again) }
}

// reload applies the agents as their files are now. If these are wrong, the log says so
// and everything stays as it was.
func (c *serveCmd) reload(e *env, a *app.App, log *slog.Logger) {
	if c.Agents == "" {
		log.Info("there is no file of agents (--agents) to read again")
		return
	}
	agents, err := agentfile.Read(c.Agents)
	if err == nil {
		err = a.ApplyAgents(e.ctx, agents)
	}
	if err != nil {
		log.Error("the agents stay as they were", "error", err)
		return
	}
	log.Info("the agents are as their files say", "agents", len(agents))
}

// greet tells the admin key that a first start has made: on a terminal the key
// itself, once, elsewhere only where it lies. A terminal is also told where to look, and
// what to do next.
func (c *serveCmd) greet(e *env, a *app.App) {
	if isTerminal(e.Err) {
		defer func() {
			fmt.Fprintf(e.Err, "Documents  %s/v1/docs\nWeb UI     %s/ui/ (errand serve --open signs in)\nNext       in another terminal: errand worker --agent NAME -- PROGRAM, and errand status\n\n", a.URL(), a.URL())
		}()
	}
	first := a.FirstStart()
	switch {
	case !first.Made:
	case isTerminal(e.Err):
		fmt.Fprintf(e.Err, "The admin key was made; it is also in %s. For a Python client:\n\n"+
			"  export XPANDER_BASE_URL=%s\n  export XPANDER_API_KEY=%s\n  export XPANDER_ORGANIZATION_ID=default\n\n",
			first.KeyFile, a.URL(), first.Key)
	default:
		fmt.Fprintf(e.Err, "errand: the admin key is in %s\n", first.KeyFile)
	}
}
