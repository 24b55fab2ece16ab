package lifecycle

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// ModelToken is with what an attempt asks models through the server (rule B2). It
// follows from the lease, so that nothing has to be stored, and is worth nothing when
// the attempt is over.
func (s *Service) ModelToken(t task.Task) string {
	if !t.Run.Live() || !t.Run.Fenced {
		return ""
	}
	number := strconv.Itoa(t.Run.Number)
	encode := base64.RawURLEncoding.EncodeToString
	return "errand-" + encode([]byte(t.OrganizationID+"\n"+t.ID+"\n"+number)) + "." + encode(s.modelMAC(t))
}

// modelAccess is that of an attempt, nil where the server has no accounts.
func (s *Service) modelAccess(t task.Task) *ModelAccess {
	if len(s.models) == 0 {
		return nil
	}
	return &ModelAccess{Token: s.ModelToken(t), Providers: s.models}
}

func (s *Service) modelMAC(t task.Task) []byte {
	return s.sealer.MAC("model token", t.OrganizationID, t.ID, strconv.Itoa(t.Run.Number), t.Run.TokenHash)
}

// ByModelToken finds the task whose attempt a token is of. Any that is not, or of an
// attempt that is over, is Unauthenticated; of one whose budget or a cap is used up, a Conflict.
func (s *Service) ByModelToken(ctx context.Context, token string) (task.Task, error) {
	wrong := fault.New(fault.Unauthenticated, "this key is none of an attempt that is under way: it is good for as long as the attempt holds its lease")
	said, mac, _ := strings.Cut(strings.TrimPrefix(token, "errand-"), ".")
	plain, err := base64.RawURLEncoding.DecodeString(said)
	proof, failed := base64.RawURLEncoding.DecodeString(mac)
	parts := strings.Split(string(plain), "\n")
	if err != nil || failed != nil || len(parts) != 3 {
		return task.Task{}, wrong
	}
	t, err := s.Task(ctx, auth.All(parts[0]), parts[1])
	switch {
	case fault.CodeOf(err) == fault.NotFound:
		return task.Task{}, wrong
	case err != nil:
		return task.Task{}, err
	case t.Run == nil || !t.Run.Fenced || strconv.Itoa(t.Run.Number) != parts[2] || !hmac.Equal(proof, s.modelMAC(t)):
		return task.Task{}, wrong
	case t.Wait.Cap != nil && t.Ended() == "":
		return task.Task{}, capped(t)
	case t.Account != nil && (t.Account.Exhausted || t.Ended() == task.EndBudget):
		return task.Task{}, fault.New(fault.Conflict, "the budget of task %s is used up", t.Account.Payer)
	case !t.Run.Live() || t.Run.LeaseUntil <= s.store.Now():
		return task.Task{}, wrong
	default:
		return t, nil
	}
}
