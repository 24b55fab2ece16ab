package v1

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Key is a key in answers; its text is not kept.
type Key struct {
	ID        string     `json:"id" doc:"Names the key, to revoke it."`
	Name      string     `json:"name" doc:"Its name for people; logs of tasks say it." example:"reports"`
	Role      auth.Role  `json:"role" enum:"admin,user,worker" doc:"What it may do: admin everything, user tasks and files, worker the worker protocol."`
	Agents    []string   `json:"agents" nullable:"false" doc:"The agents that a worker's key is for; empty is all."`
	Sees      auth.Sees  `json:"sees" enum:"own,group,all" doc:"Which tasks and files it sees: its own (or those of the user that it names), its group's, or all of the organization."`
	Group     string     `json:"group" doc:"The group to which what it makes belongs; empty for none."`
	Trusted   bool       `json:"trusted" doc:"Whether it may name the user for whom it acts, in the header X-Errand-User; that user then owns what it makes."`
	Person    string     `json:"person" doc:"As whom somebody acts who has signed in with the provider: nobody has the text of this key. Empty for any other." example:"anna@example.com"`
	Caps      *task.Caps `json:"caps" doc:"What the tasks that it begins may spend together; null for no limit."`
	CreatedAt task.Stamp `json:"created_at" doc:"When it was made."`
	CreatedBy string     `json:"created_by" doc:"Who has made it, as logs of tasks name them; empty for the server itself, or a key of before that was kept."`
	ExpiresAt task.Stamp `json:"expires_at" doc:"When it ends by itself; null for never."`
}

// ListedKey is a key in a list.
type ListedKey struct {
	Key
	LastUsedAt task.Stamp `json:"last_used_at" doc:"When it was used last, to about a minute; null for never."`
	RevokedAt  task.Stamp `json:"revoked_at" doc:"Since when it is good no more; null while it is."`
}

// NewKey is a key that was just made.
type NewKey struct {
	Key
	Text string `json:"key" doc:"The key itself, for the header x-api-key. It is told once and not stored: keep it."`
}

// KeyCreate is the body that makes a key.
type KeyCreate struct {
	Name   string    `json:"name" minLength:"1" maxLength:"255" doc:"Its name for people; logs of tasks say it." example:"reports"`
	Role   auth.Role `json:"role" enum:"admin,user,worker" doc:"What it may do: admin everything, user tasks and files, worker the worker protocol."`
	Agents []string  `json:"agents,omitempty" maxItems:"100" doc:"The agents that a worker's key is for; all when left open."`

	Sees    auth.Sees `json:"sees,omitempty" enum:"own,group,all" doc:"Which tasks and files it is to see: its own, its group's, or all when left open. Keys of other roles than user see all."`
	Group   string    `json:"group,omitempty" maxLength:"128" doc:"The group to which what it makes is to belong."`
	Trusted bool      `json:"trusted,omitempty" doc:"Whether it may name the user for whom it acts, in the header X-Errand-User."`

	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When it is to end by itself; never when left out."`

	Caps *task.Caps `json:"caps,omitempty" doc:"What the tasks that it begins may spend together in a day and in a month; no limit when left open."`
}

// KeyUpdate is the body that changes a key.
type KeyUpdate struct {
	Caps *task.Caps `json:"caps" required:"true" doc:"Caps in the place of those that it has; null for none. What was paused because of them goes on if none is reached any more."`
}

// KeyList is a part of the keys.
type KeyList struct {
	Items      []ListedKey `json:"items" doc:"The keys, the oldest first."`
	NextCursor *string     `json:"next_cursor" doc:"Give it as cursor for what follows; null at the end."`
}

func keyOf(k auth.Key) Key {
	return Key{ID: k.ID, Name: k.Name, Role: k.Role, Agents: append([]string{}, k.Agents...), Sees: k.Sees, Group: k.Group, Trusted: k.Trusted, Person: k.Person, Caps: k.Caps, CreatedAt: k.CreatedAt, CreatedBy: k.CreatedBy, ExpiresAt: k.ExpiresAt}
}

func (r *routes) registerKeys() {
	tags := []string{"keys"}
	add(r, operation{roles: admins(), Operation: huma.Operation{
		OperationID: "create-key", Method: http.MethodPost, Path: "/v1/keys", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary: "Make a key",
	}}, func(ctx context.Context, in *struct{ Body KeyCreate }) (*struct{ Body NewKey }, error) {
		if err := checkAgents(in.Body.Agents); err != nil {
			return nil, err
		}
		var expires task.Stamp
		if in.Body.ExpiresAt != nil {
			if expires = task.StampOf(*in.Body.ExpiresAt); expires <= 0 {
				return nil, fault.Field("expires_at", "must be in the future")
			}
		}
		k, text, err := r.Auth.Issue(ctx, auth.Key{
			Organization: edge.Principal(ctx).Organization, Name: in.Body.Name, Role: in.Body.Role, Agents: in.Body.Agents,
			Sees: cmp.Or(in.Body.Sees, auth.SeesAll), Group: in.Body.Group, Trusted: in.Body.Trusted, Caps: in.Body.Caps,
			ExpiresAt: expires, CreatedBy: edge.Principal(ctx).By(),
		})
		return &struct{ Body NewKey }{NewKey{Key: keyOf(k), Text: text}}, err
	})
	add(r, operation{roles: admins(), errors: []fault.Code{fault.Malformed}, Operation: huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: "/v1/keys", Tags: tags, Summary: "List keys, revoked ones too",
	}}, func(ctx context.Context, in *Part) (*struct{ Body KeyList }, error) {
		behind, err := in.place()
		if err != nil {
			return nil, err
		}
		found, err := r.Auth.Keys(ctx, edge.Principal(ctx).Organization, auth.Key{CreatedAt: behind.CreatedAt, ID: behind.ID}, in.Limit+1)
		list := KeyList{Items: make([]ListedKey, 0, len(found))}
		for i, k := range found {
			if i == in.Limit {
				list.NextCursor = nextOf(lifecycle.Cursor{CreatedAt: found[i-1].CreatedAt, ID: found[i-1].ID})
				break
			}
			list.Items = append(list.Items, ListedKey{Key: keyOf(k), LastUsedAt: k.LastUsedAt, RevokedAt: k.RevokedAt})
		}
		return &struct{ Body KeyList }{list}, err
	})
	add(r, operation{roles: admins(), errors: []fault.Code{fault.NotFound}, Operation: huma.Operation{
		OperationID: "update-key", Method: http.MethodPatch, Path: "/v1/keys/{key_id}", Tags: tags,
		Summary: "Change what a key's tasks may spend",
	}}, func(ctx context.Context, in *struct {
		ID   string `path:"key_id" doc:"The key's id."`
		Body KeyUpdate
	},
	) (*struct{ Body ListedKey }, error) {
		k, err := r.Auth.Cap(ctx, edge.Principal(ctx).Organization, in.ID, in.Body.Caps)
		r.Service.ForgetCaps()
		return &struct{ Body ListedKey }{ListedKey{Key: keyOf(k), RevokedAt: k.RevokedAt}}, err
	})
	add(r, operation{roles: admins(), errors: []fault.Code{fault.NotFound, fault.Conflict}, Operation: huma.Operation{
		OperationID: "revoke-key", Method: http.MethodDelete, Path: "/v1/keys/{key_id}", DefaultStatus: http.StatusNoContent, Tags: tags,
		Summary:     "Revoke a key",
		Description: "It is good for no further request; what it began goes on. The last admin key that does not expire cannot be revoked.",
	}}, func(ctx context.Context, in *struct {
		ID string `path:"key_id" doc:"The key's id."`
	},
	) (*struct{}, error) {
		return nil, r.Auth.Revoke(ctx, edge.Principal(ctx).Organization, in.ID)
	})
}
