package auth

// Scope is what a caller may see of an organization: all of it, or the tasks and
// files of one owner, or those of its group as well (rule A3).
type Scope struct {
	Organization string
	// Owner, if not "", sees its own only, and Group, if not "", the group's only.
	// At most one of them is set.
	Owner, Group string
}

// All is the scope that sees an organization whole.
func All(org string) Scope { return Scope{Organization: org} }

// Whole reports whether the scope sees all of its organization.
func (s Scope) Whole() bool { return s.Owner == "" && s.Group == "" }

// Sees reports whether what has this owner and group is in the scope.
func (s Scope) Sees(owner, group string) bool {
	return (s.Owner == "" || owner == s.Owner) && (s.Group == "" || group == s.Group)
}

// Scope is what the principal sees: its own, unless its key says clearly that it
// sees more.
func (p Principal) Scope() Scope {
	switch {
	case p.Sees == SeesAll:
		return All(p.Organization)
	case p.Sees == SeesGroup && p.Group != "":
		return Scope{Organization: p.Organization, Group: p.Group}
	}
	return Scope{Organization: p.Organization, Owner: p.Owner()}
}
