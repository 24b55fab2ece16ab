package people

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/auth"
)

// good is a configuration that Check finds good.
func good() Config {
	c := Default()
	c.Issuer, c.ClientID, c.ClientSecret = "https://login.example.com/realms/main", "errand", "secret"
	c.Rules = []Rule{{Group: "admins", Role: auth.Admin}, {Owner: "*@example.com", Role: auth.User}, {Group: "*ch", Role: auth.User, Sees: auth.SeesGroup}}
	return c
}

func TestCheckSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	c := good()
	if err := c.Check(); err != nil || c.Name != "login.example.com" || c.Rules[0].Sees != auth.SeesAll || c.Rules[1].Sees != auth.SeesOwn {
		t.Fatalf("%+v, %v", c, err)
	}
	rule := func(r Rule) func(*Config) { return func(c *Config) { c.Rules = []Rule{r} } }
	for want, change := range map[string]func(*Config){
		"oidc.issuer: must be the provider's URL":   func(c *Config) { c.Issuer = "login.example.com" },
		"oidc.issuer: must be an https URL":         func(c *Config) { c.Issuer = "http://login.example.com" },
		"oidc.client_id: must be given":             func(c *Config) { c.ClientID = "" },
		"oidc: needs the client's secret":           func(c *Config) { c.ClientSecret = "" },
		"oidc.claims.owner: must not be empty":      func(c *Config) { c.Claims.Owner = "" },
		"oidc.people: must say who may sign in":     func(c *Config) { c.Rules = nil },
		"oidc.people[0]: needs either owner or":     rule(Rule{Role: auth.User}),
		"oidc.people[0]: role must be admin":        rule(Rule{Owner: "*", Role: auth.Worker}),
		"oidc.people[0]: sees must be":              rule(Rule{Owner: "*", Role: auth.User, Sees: "x"}),
		"oidc.people[0]: an admin sees all":         rule(Rule{Owner: "*", Role: auth.Admin, Sees: auth.SeesOwn}),
		"oidc.people[0]: whoever is to see a group": rule(Rule{Owner: "*", Role: auth.User, Sees: auth.SeesGroup}),
	} {
		c := good()
		change(&c)
		if err := c.Check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A8: the first rule that is for somebody counts, and says to which group they belong.
func TestA8TheFirstRuleCounts(t *testing.T) {
	t.Parallel()
	c := good()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	person := func(name string, role auth.Role, sees auth.Sees, group string) *auth.Person {
		return &auth.Person{Organization: auth.DefaultOrganization, User: "x@" + name, Name: "Xa", Role: role, Sees: sees, Group: group}
	}
	for _, x := range []struct {
		at     string
		groups any
		want   *auth.Person
	}{
		{"example.com", []any{"y", "admins"}, person("example.com", auth.Admin, auth.SeesAll, "admins")},
		{"example.com", []any{"research"}, person("example.com", auth.User, auth.SeesOwn, "")},
		{"example.com.evil.com", nil, nil},
		{"evil.com", []any{7, "admin", "Admins", "church"}, person("evil.com", auth.User, auth.SeesGroup, "church")},
		{"evil.com", "research", person("evil.com", auth.User, auth.SeesGroup, "research")},
		{"evil.com", "research*", nil},
		{"evil.com", map[string]any{"admins": true}, nil},
	} {
		got, err := c.person("x@"+x.at, claims{"name": "X\u202ea", "groups": x.groups})
		if (err == nil) != (x.want != nil) || err == nil && cmp.Diff(*x.want, got) != "" {
			t.Errorf("%s, %v: %+v, %v, want %+v", x.at, x.groups, got, err, x.want)
		}
	}
	// Whose groups are not told comes in by no rule that stands behind one for groups.
	if got, err := c.person("x@example.com", claims{"_claim_names": map[string]any{"groups": "src1"}}); err == nil {
		t.Errorf("%+v", got)
	}
}

// A8: an address counts if the provider says beside it that it is verified, and nobody comes
// to another's by how it is written.
func TestA8TheAddressIsVerified(t *testing.T) {
	t.Parallel()
	c := good()
	c.Rules = []Rule{{Owner: "Kim@Example.com", Role: auth.Admin}}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		token, info claims
		want        string
	}{
		{claims{"email": "KIM@example.com", "email_verified": true}, claims{}, "kim@example.com"},
		{claims{}, claims{"email": "kim@example.com", "email_verified": "true"}, "kim@example.com"},
		{claims{"email": "kim@example.com"}, claims{"email": "kim@example.com", "email_verified": true}, "kim@example.com"},
		{claims{"email": "kim@example.com", "email_verified": nil}, claims{"email": "eve@example.com", "email_verified": true}, ""},
		{claims{"email_verified": true}, claims{"email": "kim@example.com", "email_verified": false}, ""},
		{claims{"email": "\u212aim@example.com", "email_verified": true}, claims{}, ""},
	} {
		x.token.add(x.info)
		owner, err := c.Claims.owner(x.token)
		who, refused := c.person(owner, x.token)
		if x.want == "" && err == nil && refused == nil || x.want != "" && (err != nil || refused != nil || who.User != x.want) {
			t.Errorf("%v: %+v, %v, %v, want %q", x.token, who, err, refused, x.want)
		}
	}
}
