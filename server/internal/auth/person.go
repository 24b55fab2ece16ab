package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// Person is somebody of whom a provider has said who they are, as the operator's rules
// let them act.
type Person struct {
	Organization string
	// Mark tells the person from everybody else, for good. Nobody can show a key that has
	// it as its hash.
	Mark []byte
	// User owns what they make, and logs name them by it. Name is for people.
	User, Name string
	Role       Role
	Sees       Sees
	Group      string
}

// Welcome begins a session of a person, and returns the text that the browser is to
// show. A person has a key of which nobody has the text: it keeps how they act, may have
// caps, and lets nobody in once it is revoked (Forbidden).
func (a *Authenticator) Welcome(ctx context.Context, p Person) (text string, err error) {
	if len(p.User) > MaxGroup || len(p.Group) > MaxGroup || !printable(p.User+p.Group+p.Name) {
		return "", fault.New(fault.Invalid, "the names of a person and of a group have at most %d bytes and no control characters", MaxGroup)
	}
	k, err := a.store.PutPerson(ctx, Key{
		Organization: p.Organization, ID: uuid.NewString(), Name: p.Name, Role: p.Role, Hash: p.Mark, CreatedAt: task.StampOf(time.Now()),
		Sees: p.Sees, Group: p.Group, Person: p.User,
	})
	if err != nil {
		return "", fmt.Errorf("welcome a person: %w", err)
	}
	if k.RevokedAt != 0 {
		return "", fault.New(fault.Forbidden, "an admin has revoked what %s may do here", k.Person)
	}
	a.forget(func(c cached) bool { return c.who.Organization == k.Organization && c.who.KeyID == k.ID }) // it may have been more
	return a.begin(ctx, principalOf(k))
}
