package table

import (
	"context"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/task"
)

func sessionColumns(s *auth.Session) []column {
	return []column{
		{"org", &s.Organization},
		{"hash", &s.Hash},
		{"key_id", &s.KeyID},
		{"until", &s.Until},
	}
}

// Statements that are made of lists of columns.
var (
	insertSessionRow = insert("sessions", sessionColumns(new(auth.Session)))
	selectSession    = "SELECT " + names(sessionColumns(new(auth.Session)), "s.") + ", " + names(keyColumns(new(auth.Key)), "k.") +
		" FROM sessions s JOIN keys k ON k.org = s.org AND k.id = s.key_id WHERE s.hash = ?"
)

// SessionByHash implements auth.SessionStore.
func (r *Reader) SessionByHash(ctx context.Context, hash []byte) (auth.Session, auth.Key, error) {
	return readWithKey(ctx, r.DB, "session", selectSession, []any{hash}, sessionColumns)
}

func insertSession(s auth.Session) Op {
	return Op{SQL: insertSessionRow, Args: values(sessionColumns(&s)), In: Sessions}
}

func extendSession(s auth.Session) Op {
	return Op{SQL: "UPDATE sessions SET until = ? WHERE org = ? AND hash = ?", Args: []any{int64(s.Until), s.Organization, s.Hash}, In: Sessions}
}

func dropSession(s auth.Session) Op {
	return Op{SQL: "DELETE FROM sessions WHERE org = ? AND hash = ?", Args: []any{s.Organization, s.Hash}, In: Sessions}
}

func dropSessions(at task.Stamp) Op {
	return Op{SQL: "DELETE FROM sessions WHERE until <= ?", Args: []any{int64(at)}, In: Sessions}
}
