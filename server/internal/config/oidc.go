package config

import (
	"strconv"

	yaml "go.yaml.in/yaml/v4"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/people"
)

// oidc reads with which provider people sign in.
func (f *File) oidc(node *yaml.Node) error {
	c := people.Default()
	err := f.each(oidcKey, node, func(field string, value *yaml.Node) (err error) {
		at := within(oidcKey, field)
		switch field {
		case "issuer":
			c.Issuer, err = f.text(at, value)
		case "client_id":
			c.ClientID, err = f.text(at, value)
		case "client_secret_file":
			c.SecretFile, err = f.text(at, value)
		case "name":
			c.Name, err = f.text(at, value)
		case "scopes":
			c.Scopes, err = f.texts(at, value)
		case "claims":
			err = f.each(at, value, func(name string, value *yaml.Node) error { return f.claim(within(at, name), name, value, &c.Claims) })
		case "people":
			c.Rules, err = f.people(at, value)
		case "end_session":
			c.EndSession, err = f.yes(at, value)
		case "client_secret":
			err = f.wrong(value.Line, at, "a secret does not belong here: set ERRAND_OIDC_CLIENT_SECRET, or name a file that has it with client_secret_file")
		default:
			err = f.wrong(value.Line, at, "is unknown; there may be issuer, client_id, client_secret_file, name, scopes, claims, people, end_session")
		}
		return err
	})
	f.OIDC = &c
	return err
}

func (f *File) claim(at, name string, value *yaml.Node, into *people.Claims) (err error) {
	switch name {
	case "owner":
		into.Owner, err = f.text(at, value)
	case "name":
		into.Name, err = f.text(at, value)
	case "groups":
		into.Groups, err = f.text(at, value)
	default:
		err = f.wrong(value.Line, at, "is unknown; there may be owner, name, groups")
	}
	return err
}

// people reads who may sign in, and what they may do.
func (f *File) people(key string, node *yaml.Node) (rules []people.Rule, err error) {
	if node.Kind != yaml.SequenceNode {
		return nil, f.wrong(node.Line, key, "must be a list, for example [{group: staff, role: user}]")
	}
	for i, item := range node.Content {
		var r people.Rule
		at := key + "[" + strconv.Itoa(i) + "]"
		err := f.each(at, item, func(field string, value *yaml.Node) error {
			text, err := f.text(within(at, field), value)
			switch {
			case err != nil:
			case field == "owner":
				r.Owner = text
			case field == "group":
				r.Group = text
			case field == "role":
				r.Role = auth.Role(text)
			case field == "sees":
				r.Sees = auth.Sees(text)
			default:
				err = f.wrong(value.Line, within(at, field), "is unknown; there may be owner, group, role, sees")
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// yes reads a switch.
func (f *File) yes(at string, node *yaml.Node) (bool, error) {
	text, err := f.text(at, node)
	if err == nil && text != "true" && text != "false" {
		err = f.wrong(node.Line, at, "must be true or false")
	}
	return text == "true", err
}
