package people

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/errand-dev/errand/server/internal/auth"
)

// claims are what the provider says of somebody.
type claims map[string]any

// text is a claim that is a text, "" for none.
func (c claims) text(name string) string {
	text, _ := c[name].(string)
	return text
}

// texts is a claim that is a text or a list of them.
func (c claims) texts(name string) (all []string) {
	switch v := c[name].(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			if text, is := one.(string); is {
				all = append(all, text)
			}
		}
	}
	return all
}

// yes reports whether a claim is true; some providers write it as a text.
func (c claims) yes(name string) bool { return c[name] == true || c[name] == "true" }

// elsewhere reports whether the provider does not say a claim but where it is to be found.
func (c claims) elsewhere(name string) bool {
	names, _ := c["_claim_names"].(map[string]any)
	return c[name] == nil && names[name] != nil
}

// add adds what is said in another place, of which what is known already goes before it.
// Whether an address is verified counts only beside that address.
func (c claims) add(more claims) {
	switch known := c.text(emailClaim); {
	case known == "":
		delete(c, verifiedClaim)
	case known != more.text(emailClaim):
		delete(more, verifiedClaim)
	}
	for name, said := range more {
		if c[name] == nil {
			c[name] = said
		}
	}
}

// owner is the user as whom somebody acts.
func (c Claims) owner(of claims) (string, error) {
	owner := of.text(c.Owner)
	switch {
	case owner == "":
		return "", fmt.Errorf("the provider says no %q of this person", c.Owner)
	case c.Owner != emailClaim:
		return owner, nil
	case !of.yes(verifiedClaim):
		return "", errors.New("the provider does not say that the e-mail address is this person's (" + verifiedClaim + ")")
	}
	return lower(owner), nil
}

// lower is an e-mail address in lower case. Letters beyond ASCII stay as they are: of two
// addresses they would make one.
func lower(address string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, address)
}

// person is as whom somebody acts by the first rule that is for them.
func (c Config) person(owner string, of claims) (auth.Person, error) {
	groups := of.texts(c.Claims.Groups)
	for _, r := range c.Rules {
		if r.Group != "" && of.elsewhere(c.Claims.Groups) {
			return auth.Person{}, errors.New("whether a rule of oidc.people is for this person cannot be told: the provider does not say their groups, but where they are (_claim_names)")
		}
		p := auth.Person{Organization: auth.DefaultOrganization, User: owner, Name: called(of.text(c.Claims.Name), owner), Role: r.Role, Sees: r.Sees}
		if suits(r.Owner, owner) {
			return p, nil
		}
		for _, p.Group = range groups {
			if suits(r.Group, p.Group) {
				return p, nil
			}
		}
	}
	return auth.Person{}, errors.New("no rule of oidc.people is for this person")
}

// called is what people call somebody: what the provider says if that can be shown.
func called(name, owner string) string {
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return -1
	}, name))
	if name == "" || len(name) > auth.MaxName {
		return owner
	}
	return name
}
