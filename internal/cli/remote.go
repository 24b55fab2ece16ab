package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/internal/app"
)

// remote says which server a command talks to.
type remote struct {
	Server string `help:"The server's URL; without it, the one that serves the data folder." env:"ERRAND_URL" placeholder:"URL" group:"Which server:"`
	Key    string `help:"Its key; without it, the admin key of the data folder." env:"ERRAND_API_KEY" placeholder:"KEY" group:"Which server:"`
	Data   string `help:"Data folder of a server on this machine." default:".errand" env:"ERRAND_DATA" group:"Which server:"`
	JSON   bool   `help:"Print JSON, for programs; see docs/CLI.md."`
}

func (r remote) client() (*errand.Client, error) {
	url, key := r.Server, r.Key
	here, err := os.ReadFile(app.AddressFile(r.Data))
	local := strings.TrimSpace(string(here))
	if url == "" {
		if err != nil {
			return nil, fmt.Errorf("no server: start one with 'errand serve', or set ERRAND_URL (nothing serves the data folder %s)", r.Data)
		}
		url = local
	}
	if key == "" {
		if err != nil || strings.TrimRight(url, "/") != local { // the data folder's key is for its own server alone
			return nil, fmt.Errorf("no key for %s: set ERRAND_API_KEY", url)
		}
		text, err := os.ReadFile(app.KeyFile(r.Data))
		if err != nil {
			return nil, errors.New("no key: set ERRAND_API_KEY, or name the server's data folder with --data")
		}
		key = strings.TrimSpace(string(text))
	}
	return errand.NewClient(errand.WithURL(url), errand.WithKey(key))
}

// call talks to the server until that is done or Ctrl-C is pressed.
func (r remote) call(e *env, fn func(context.Context, *errand.Client) error) error {
	client, err := r.client()
	if err != nil {
		return err
	}
	return e.interruptible(func(ctx context.Context) error { return fn(ctx, client) })
}
