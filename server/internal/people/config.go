// Package people lets people sign in with an OpenID Connect provider. The provider says who
// somebody is, and the operator's rules as whom they act.
package people

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/outbound"
)

// Config is what an operator says of the provider.
type Config struct {
	// Issuer is the provider's own name for itself, a URL below which its description is.
	Issuer string
	// ClientID and ClientSecret are what it knows this server by. SecretFile names a file
	// that has the secret, "" for none.
	ClientID, ClientSecret, SecretFile string
	// Name is the provider's for people, on the page where they sign in.
	Name string
	// Scopes are asked for beside openid.
	Scopes []string
	Claims Claims
	// Rules say who may sign in, and what they may do: the first that is for somebody counts.
	Rules []Rule
	// EndSession ends the session at the provider, too, when somebody signs out here.
	EndSession bool
}

// Claims are the names of what the provider says of somebody.
type Claims struct {
	// Owner is the user as whom they act, Name what people call them, and Groups, a text or
	// a list, the groups in which they are.
	Owner, Name, Groups string
}

// An e-mail address counts only if the provider says that it has seen that it is the person's.
const (
	emailClaim    = "email"
	verifiedClaim = "email_verified"
)

// Default is a configuration that says only what need not be said.
func Default() Config {
	return Config{Scopes: []string{"profile", "email"}, Claims: Claims{Owner: emailClaim, Name: "name", Groups: "groups"}}
}

// Rule says what somebody may do. It is for the users or for the members of the groups that
// a pattern names: a name, or * and the end of one.
type Rule struct {
	Owner, Group string
	Role         auth.Role
	// Sees is what they see; "" is their own for a user, and all for an admin.
	Sees auth.Sees
}

// Check says what is wrong with a configuration, and completes it.
func (c *Config) Check() error {
	u, err := url.Parse(c.Issuer)
	switch {
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return errors.New("oidc.issuer: must be the provider's URL, for example https://login.example.com/realms/main")
	case u.Scheme != "https" && (u.Scheme != "http" || !outbound.Loopback(u.Hostname())):
		return errors.New("oidc.issuer: must be an https URL: who answers there decides who may do what")
	case c.ClientID == "":
		return errors.New("oidc.client_id: must be given: it is what the provider calls this server")
	case c.ClientSecret == "":
		return errors.New("oidc: needs the client's secret: set ERRAND_OIDC_CLIENT_SECRET, or name a file that has it with client_secret_file")
	case c.Claims.Owner == "":
		return errors.New("oidc.claims.owner: must not be empty: it is the user as whom somebody acts")
	case len(c.Rules) == 0:
		return errors.New("oidc.people: must say who may sign in, for example: people: [{group: staff, role: user}]")
	}
	if c.Name == "" {
		c.Name = u.Host
	}
	for i := range c.Rules {
		if err := c.Rules[i].check(); err != nil {
			return fmt.Errorf("oidc.people[%d]: %w", i, err)
		}
		if c.Claims.Owner == emailClaim {
			c.Rules[i].Owner = lower(c.Rules[i].Owner)
		}
	}
	return nil
}

func (r *Rule) check() error {
	switch {
	case (r.Owner == "") == (r.Group == ""):
		return errors.New("needs either owner or group; \"*\" is everybody")
	case r.Role != auth.Admin && r.Role != auth.User:
		return errors.New("role must be admin or user")
	case r.Sees == "":
		r.Sees = auth.SeesOwn
		if r.Role == auth.Admin {
			r.Sees = auth.SeesAll
		}
	case !r.Sees.Valid():
		return errors.New("sees must be own, group or all")
	case r.Role == auth.Admin && r.Sees != auth.SeesAll:
		return errors.New("an admin sees all")
	case r.Sees == auth.SeesGroup && r.Group == "":
		return errors.New("whoever is to see a group has to come in by one: write group in the place of owner")
	}
	return nil
}

// suits reports whether a name fits a pattern.
func suits(pattern, name string) bool {
	end, open := strings.CutPrefix(pattern, "*")
	return name != "" && (name == pattern || open && strings.HasSuffix(name, end))
}
