package model

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/outbound"
)

// Provider is where models are asked, and with what key.
type Provider struct {
	// Name is what agents' records call it. The provider anthropic is spoken to in its
	// own way, all others as OpenAI is.
	Name string
	// BaseURL is what the paths of the wire follow: for chat completions it ends with
	// /v1 as a rule, for Anthropic it does not.
	BaseURL string
	// Key is the account's, "" for none.
	Key string
}

// The providers that the environment can define.
const (
	OpenAI    = "openai"
	Anthropic = "anthropic"
	Ollama    = "ollama"
)

// FromEnvironment returns the providers that an environment defines: openai with
// OPENAI_API_KEY or OPENAI_BASE_URL, anthropic with ANTHROPIC_API_KEY or
// ANTHROPIC_BASE_URL, and ollama, which needs no key, at OLLAMA_HOST or where it
// listens by itself.
func FromEnvironment(getenv func(string) string) ([]Provider, error) {
	var found []Provider
	for _, name := range []string{OpenAI, Anthropic} {
		variables := strings.ToUpper(name)
		key, base := getenv(variables+"_API_KEY"), getenv(variables+"_BASE_URL")
		if key == "" && base == "" {
			continue
		}
		base = strings.TrimRight(cmp.Or(base, home(name)), "/")
		if err := agent.CheckBaseURL(base); err != nil {
			return nil, fmt.Errorf("%s_BASE_URL: %w", variables, err)
		}
		found = append(found, Provider{name, base, key})
	}
	base := ollamaURL(getenv("OLLAMA_HOST"))
	if err := agent.CheckBaseURL(base); err != nil {
		return nil, fmt.Errorf("OLLAMA_HOST: %w", err)
	}
	return append(found, Provider{Name: Ollama, BaseURL: base}), nil
}

// home is where a provider is that is in one place, "" for any other.
func home(name string) string {
	switch name {
	case OpenAI:
		return "https://api.openai.com/v1"
	case Anthropic:
		return "https://api.anthropic.com"
	default:
		return ""
	}
}

// Account is the provider of a name, with the account at it that is among accounts. If
// there is none, known is false, and it is the provider's own address without a key.
func Account(accounts []Provider, name string) (p Provider, known bool) {
	for _, account := range accounts {
		if account.Name == name {
			return account, true
		}
	}
	return Provider{Name: name, BaseURL: home(name)}, false
}

// Endpoint is where the model of a record is asked: at the record's own address, for
// which no account's key is meant, or with an account. It is known when nothing is
// missing but the key that the agent itself may have.
func Endpoint(accounts []Provider, r agent.Record) (p Provider, known bool) {
	p, known = Account(accounts, r.Provider())
	if base := r.LLMAPIBase; base != nil && *base != "" && *base != p.BaseURL {
		p.BaseURL, p.Key, known = *base, "", true
	}
	return p, known
}

// Missing says what is to be set for a provider at which there is no account, and where
// ("" for here).
func Missing(name, where string) error {
	switch name {
	case OpenAI, Anthropic:
		return fmt.Errorf("there is no account at %s: set %s, or give the agent llm_credentials",
			name, strings.TrimSpace(strings.ToUpper(name)+"_API_KEY "+where))
	default:
		return fmt.Errorf("nothing is known of the provider %q: give the agent an llm_api_base, and llm_credentials if it wants a key", name)
	}
}

// ollamaURL reads the address that Ollama itself takes from OLLAMA_HOST: any of
// scheme, host and port may be left out. Who listens everywhere is asked here.
func ollamaURL(host string) string {
	const local, port = "127.0.0.1", "11434"
	if host == "" {
		host = local
	}
	if !strings.Contains(host, "://") {
		host = "http://" + host
	}
	u, err := url.Parse(strings.TrimRight(host, "/"))
	if err != nil {
		return host // agent.CheckBaseURL says what is wrong
	}
	name := u.Hostname()
	if ip, err := netip.ParseAddr(name); name == "" || err == nil && ip.IsUnspecified() {
		name = local
	}
	at := u.Port()
	if at == "" && u.Scheme == "http" {
		at = port
	}
	if u.Host = name; strings.Contains(name, ":") {
		u.Host = "[" + name + "]"
	}
	if at != "" {
		u.Host += ":" + at
	}
	return u.String() + "/v1"
}

// Host is the endpoint's host with its port, as connections name it.
func (p Provider) Host() string {
	u, err := url.Parse(p.BaseURL)
	switch {
	case err != nil:
		return ""
	case u.Port() != "":
		return u.Host
	case u.Scheme == "https":
		return u.Host + ":443"
	default:
		return u.Host + ":80"
	}
}

// Sees reports whether all newer models at the endpoint take pictures.
func (p Provider) Sees() bool {
	host, _, _ := strings.Cut(p.Host(), ":")
	for _, at := range []string{"api.openai.com", "api.anthropic.com", "generativelanguage.googleapis.com"} {
		if host == at || strings.HasSuffix(host, "."+at) {
			return true
		}
	}
	return false
}

// maxResting is how many connections to a provider wait for the next request.
const maxResting = 64

// NewClient makes a client with which providers are asked. It follows no redirect: a
// key is for the host that it was given for.
func NewClient(guard outbound.Guard) *http.Client {
	transport := guard.Transport()
	transport.MaxIdleConnsPerHost = maxResting
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// New makes the model's side of a provider.
func New(p Provider, client *http.Client) Model {
	w := wire{p, client}
	if p.Name == Anthropic {
		return &anthropic{w}
	}
	return &openai{w}
}

// First is the first model that an endpoint lists, which speaks chat completions.
func First(ctx context.Context, p Provider, client *http.Client) (string, error) {
	o := &openai{wire{p, client}}
	res, err := o.send(ctx, http.MethodGet, "/models", o.header(), http.NoBody)
	if err != nil {
		return "", o.unreachable(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	if err := o.check(res); err != nil {
		return "", err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxEvent))
	if err != nil {
		return "", o.cutOff(err)
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &list) != nil || len(list.Data) == 0 || list.Data[0].ID == "" {
		return "", o.failed(0, "it lists no model")
	}
	return list.Data[0].ID, nil
}

// returns makes a sequence of what ask says, whose error comes last.
func (w *wire) answers(ask func(yield func(Delta) bool) error) iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		left := false
		err := ask(func(d Delta) bool {
			left = !yield(d, nil)
			return !left
		})
		if err != nil && !left {
			yield(Delta{}, err)
		}
	}
}
