package app

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/agentfile"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/blob"
	"github.com/errand-dev/errand/server/internal/httpapi/xpander"
	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/outbound"
	"github.com/errand-dev/errand/server/internal/people"
	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/task"
)

// Options say how to run a server. DefaultOptions has the defaults.
type Options struct {
	// Addr is where to listen, for example 127.0.0.1:4747; port 0 picks one.
	Addr string
	// Data is the data folder.
	Data string
	// DatabaseURL names a PostgreSQL database, which other servers may share; "" is
	// SQLite in the data folder. Servers that share one need the same files and the
	// same secret key: on one machine, the same data folder.
	DatabaseURL string
	// ListenURL leads to the same database past a pooler, so that what other servers
	// commit is heard of at once; "" is DatabaseURL.
	ListenURL string
	// Blobs is where the contents of files lie: "" or "folder" is in the data folder,
	// "database" beside the record, s3://bucket/prefix in a bucket.
	Blobs string
	// PublicURL is under what the server is reached; "" is its address.
	PublicURL string
	// TLSCert and TLSKey are PEM files; both or neither.
	TLSCert, TLSKey string
	// AdminKey, at first start, becomes the admin key; "" makes one.
	AdminKey string
	// SecretKey is 64 hexadecimal digits that seal secrets; "" uses the key
	// in the data folder.
	SecretKey string
	// AllowPrivate lists private networks that file URLs, models' endpoints and webhooks
	// may point into.
	AllowPrivate []netip.Prefix
	// AllowModelHosts lists hosts, each with its port, at which models' endpoints may
	// be although they are private; nothing else is fetched from there.
	AllowModelHosts []string
	// AllowRemoteHosts is the same for remote agents.
	AllowRemoteHosts []string
	// Providers are the accounts with which models are asked.
	Providers []model.Provider
	// Prices are what models cost, for budgets and caps of money.
	Prices model.Prices
	// Windows are how many tokens they take at once, for agents whose record does not say.
	Windows model.Windows
	// Caps are what owners and groups may spend.
	Caps []task.CapRule
	// KeepAlive is the silence after which a stream gets a comment.
	KeepAlive time.Duration
	// WriteTimeout bounds each write of an answer or a stream.
	WriteTimeout time.Duration
	// ReadTimeout bounds the coming of a body, and of each 64 KiB of an upload.
	ReadTimeout time.Duration
	// Drain is how long running work may go on after a stop is asked.
	Drain time.Duration
	// Slots bounds how many tasks the server itself executes at a time.
	Slots int
	// Defaults are for agents that leave them open.
	Defaults xpander.Defaults
	// Commands are the programs that agents of runtime command may name, as
	// Program.Check has found them good.
	Commands map[string]program.Program
	// MCPServers are the programs that agents may name as MCP servers, found good in the
	// same way.
	MCPServers map[string]program.Program
	// MCPAgentTools makes each agent a tool of its own at /mcp, beside run_agent.
	MCPAgentTools bool
	// OIDC is the provider with which people sign in; nil for none. Start completes it.
	OIDC *people.Config
	// Agents are applied at the start.
	Agents []agentfile.Agent
	// MaxQueued is how many tasks of an agent may wait, CreateRate how many a
	// key may create per second; 0 is any number.
	MaxQueued  int
	CreateRate float64
	// Retention says how long ended tasks are kept; none is until somebody deletes them.
	Retention task.Retention
	// Traces lets the environment (OTEL_*) name a collector that gets traces.
	Traces bool
	// Version is told in the OpenAPI document.
	Version string
	// Log receives the server's log.
	Log *slog.Logger
	// TaskLog receives a line when a task is created, started or ended; nil is nobody.
	TaskLog *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// DefaultOptions are the defaults of errand serve.
func DefaultOptions() Options {
	return Options{
		Addr: "127.0.0.1:4747", Data: ".errand", KeepAlive: 15 * time.Second, WriteTimeout: 30 * time.Second,
		ReadTimeout: time.Minute, Drain: 20 * time.Second, Slots: 4, Version: "dev", Log: slog.New(slog.DiscardHandler), Now: time.Now,
	}
}

// storeName names what keeps the record.
func (o Options) storeName() string {
	if o.DatabaseURL != "" {
		return "postgres"
	}
	return "sqlite"
}

// Validate says what is wrong with the options and what to write instead.
func (o Options) Validate() error {
	host, port, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return fmt.Errorf("--addr %q: write host:port, for example 127.0.0.1:4747", o.Addr)
	}
	if o.ListenURL != "" && o.DatabaseURL == "" {
		return errors.New("--database-listen-url is for a PostgreSQL database: give --database-url, too")
	}
	if strings.Contains(port, "8085") || strings.Contains(port, "9016") {
		return fmt.Errorf("--addr %s:%s: the Python client takes ports with 8085 or 9016 for another service; choose another port", host, port)
	}
	if err := blob.Check(o.Blobs); err != nil {
		return fmt.Errorf("--blobs: %w", err) // it may hold a key by mistake
	}
	if err := checkURL("--public-url", o.PublicURL); err != nil {
		return err
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key: give both or neither")
	}
	if o.TLSCert != "" {
		if _, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey); err != nil {
			return fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
	}
	if o.AdminKey != "" && len(o.AdminKey) < auth.MinLength {
		return fmt.Errorf("ERRAND_ADMIN_KEY must have at least %d characters", auth.MinLength)
	}
	if err := xpander.CheckDatabase(o.Defaults.Database); err != nil {
		return fmt.Errorf("--agent-database: %w", err) // its value is a secret
	}
	if err := checkURL("--llm-api-base", o.Defaults.LLMAPIBase); err != nil {
		return err
	}
	for _, host := range o.AllowModelHosts {
		if name, port, err := net.SplitHostPort(host); err != nil || name == "" || port == "" {
			return fmt.Errorf("--allow-model-host %q: write host:port, for example 127.0.0.1:11434", host)
		}
	}
	if o.OIDC != nil {
		if err := o.OIDC.Check(); err != nil {
			return err
		}
	}
	for name, d := range map[string]time.Duration{"--keep-alive": o.KeepAlive, "--write-timeout": o.WriteTimeout, "the read timeout": o.ReadTimeout} {
		if d <= 0 {
			return fmt.Errorf("%s must be more than 0, for example 15s", name)
		}
	}
	if o.Drain < 0 || o.Slots < 1 {
		return errors.New("--drain must not be negative and --slots must be at least 1")
	}
	if o.MaxQueued < 0 || o.CreateRate < 0 || math.IsNaN(o.CreateRate) || math.IsInf(o.CreateRate, 0) {
		return errors.New("--max-queued and --create-rate must not be negative; 0 is no limit")
	}
	return nil
}

// checkURL says what is wrong with the URL of a flag; "" is none.
func checkURL(flag, given string) error {
	u, err := url.Parse(given)
	if given != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
		return fmt.Errorf("%s %q: write an http or https URL", flag, given)
	}
	return nil
}

// exposed reports whether the server can be reached from other machines
// without encryption.
func (o Options) exposed() bool {
	host, _, err := net.SplitHostPort(o.Addr)
	return err == nil && o.TLSCert == "" && !outbound.Loopback(host)
}
