package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/app"
)

// connection says which server a command talks to: the flags, then the
// environment, then the profile that 'errand login' has kept, then the server
// of the data folder.
type connection struct {
	Server  string `help:"The server's URL." env:"ERRAND_URL" placeholder:"URL" group:"Which server:"`
	Key     string `help:"Its key." env:"ERRAND_API_KEY" placeholder:"KEY" group:"Which server:"`
	Profile string `help:"One that 'errand login' has kept; without --server it is 'default', if there is one." placeholder:"NAME" group:"Which server:"`
	Data    string `help:"Data folder of a server on this machine, used when nothing above says which." default:".errand" env:"ERRAND_DATA" group:"Which server:"`
}

// remote is what the commands that ask a server once have in common.
type remote struct {
	connection
	JSON bool `help:"Print JSON, for programs; see docs/CLI.md."`
}

func (c connection) client() (*errand.Client, error) {
	at, err := c.find()
	if err != nil {
		return nil, err
	}
	return at.client()
}

// errNoServer: nothing says which server is meant.
var errNoServer = errors.New("no server")

// place is a server, its key, and where they were found.
type place struct {
	profile
	from string
}

// find says which server is meant. A key that was kept goes to its own server
// and to no other.
func (c connection) find() (place, error) {
	known, err := readProfiles()
	if err != nil {
		return place{}, err
	}
	name := c.Profile
	if name == "" && c.Server == "" && known[defaultProfile].URL != "" {
		name = defaultProfile
	}
	if name != "" {
		return c.profile(known, name)
	}
	local, localErr := c.local()
	if c.Server == "" {
		if errors.Is(localErr, fs.ErrPermission) {
			return place{}, fmt.Errorf("this user may not read the data folder %s: set ERRAND_URL and ERRAND_API_KEY, or 'errand login URL'", c.Data)
		}
		if localErr != nil {
			return place{}, fmt.Errorf("%w: start one with 'errand serve', set ERRAND_URL, or 'errand login URL' (nothing serves the data folder %s)", errNoServer, c.Data)
		}
		if c.Key != "" {
			return place{profile{local, c.Key}, "the data folder " + c.Data}, nil
		}
		return c.localPlace(local)
	}
	at := place{profile{strings.TrimRight(c.Server, "/"), c.Key}, "--server or ERRAND_URL"}
	switch {
	case at.Key != "":
		return at, nil
	case known.keyFor(at.URL) != "":
		at.Key = known.keyFor(at.URL)
		return at, nil
	case localErr == nil && at.URL == local: // the data folder's key is for its own server alone
		return c.localPlace(local)
	}
	if _, err := serverURL(at.URL); err != nil {
		return place{}, err
	}
	return place{}, fmt.Errorf("no key for %s: set ERRAND_API_KEY, or 'errand login %s'", at.URL, at.URL)
}

func (c connection) profile(known profiles, name string) (place, error) {
	found, err := known.named(name)
	if err != nil {
		return place{}, err
	}
	if c.Server != "" && c.Server != os.Getenv("ERRAND_URL") {
		return place{}, misused("either --server or --profile, not both")
	}
	if c.Key != "" && c.Key != os.Getenv("ERRAND_API_KEY") {
		found.Key = c.Key
	}
	return place{found, "the profile " + name}, nil
}

// named tells whether somebody has said which server is meant.
func (c connection) named() bool { return c.Server != "" || c.Profile != "" }

// seek finds the server that is meant. If none is named, and none is there, the caller
// brings its own.
func (c connection) seek(ctx context.Context) (at place, own bool, err error) {
	at, err = c.find()
	if !c.named() && (errors.Is(err, errNoServer) || err == nil && c.left(ctx, at)) {
		return place{}, true, nil
	}
	return at, false, err
}

// left reports whether a server is only what its data folder says of one that has
// crashed.
func (c connection) left(ctx context.Context, at place) bool {
	if local, err := c.local(); err != nil || local != at.URL {
		return false
	}
	u, err := url.Parse(at.URL)
	if err != nil {
		return true
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", u.Host)
	if err == nil {
		_ = conn.Close() // nothing was said
	}
	return err != nil
}

// local is the URL of the server that serves the data folder.
func (c connection) local() (string, error) {
	text, err := os.ReadFile(app.AddressFile(c.Data))
	return strings.TrimSpace(string(text)), err
}

func (c connection) localPlace(url string) (place, error) {
	text, err := os.ReadFile(app.KeyFile(c.Data))
	if err != nil {
		return place{}, errors.New("no key: set ERRAND_API_KEY, or name the server's data folder with --data")
	}
	return place{profile{url, strings.TrimSpace(string(text))}, "the data folder " + c.Data}, nil
}

// call talks to the server until that is done or Ctrl-C is pressed.
func (c connection) call(e *env, fn func(context.Context, *errand.Client) error) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return e.interruptible(func(ctx context.Context) error { return fn(ctx, client) })
}
