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

// connection says which server a command talks to.
type connection struct {
	Server string `help:"The server's URL; without it, the one that serves the data folder." env:"ERRAND_URL" placeholder:"URL" group:"Which server:"`
	Key    string `help:"Its key; without it, the admin key of the data folder." env:"ERRAND_API_KEY" placeholder:"KEY" group:"Which server:"`
	Data   string `help:"Data folder of a server on this machine." default:".errand" env:"ERRAND_DATA" group:"Which server:"`
}

// remote is what the commands that ask a server once have in common.
type remote struct {
	connection
	JSON bool `help:"Print JSON, for programs; see docs/CLI.md."`
}

func (c connection) client() (*errand.Client, error) {
	url, key := c.Server, c.Key
	here, err := os.ReadFile(app.AddressFile(c.Data))
	local := strings.TrimSpace(string(here))
	if url == "" {
		if err != nil {
			return nil, fmt.Errorf("no server: start one with 'errand serve', or set ERRAND_URL (nothing serves the data folder %s)", c.Data)
		}
		url = local
	}
	if key == "" {
		if err != nil || strings.TrimRight(url, "/") != local { // the data folder's key is for its own server alone
			return nil, fmt.Errorf("no key for %s: set ERRAND_API_KEY", url)
		}
		text, err := os.ReadFile(app.KeyFile(c.Data))
		if err != nil {
			return nil, errors.New("no key: set ERRAND_API_KEY, or name the server's data folder with --data")
		}
		key = strings.TrimSpace(string(text))
	}
	return errand.NewClient(errand.WithURL(url), errand.WithKey(key))
}

// call talks to the server until that is done or Ctrl-C is pressed.
func (c connection) call(e *env, fn func(context.Context, *errand.Client) error) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return e.interruptible(func(ctx context.Context) error { return fn(ctx, client) })
}
