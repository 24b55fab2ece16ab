package table

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"math"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func agentColumns(a *agent.Agent) []column {
	return []column{
		{"a.org", &a.OrganizationID},
		{"a.id", &a.ID},
		{"v.version", &a.Version},
		{"a.created_at", &a.CreatedAt},
		{"v.updated_at", &a.UpdatedAt},
		{"v.record", jsonField{&a.Record}},
	}
}

const (
	agentNames  = "SELECT a.org, a.id, v.version, a.created_at, v.updated_at, v.record"
	agentTables = " FROM agents a JOIN agent_versions v ON v.org = a.org AND v.id = a.id "
	selectAgent = agentNames + agentTables
	selectPart  = agentNames + ", octet_length(v.record)" + agentTables
)

func readAgents(ctx context.Context, db DB, where string, args ...any) ([]agent.Agent, error) {
	found, err := all(ctx, db, selectAgent+where, args, agentColumns)
	if err != nil {
		return nil, fmt.Errorf("read agents: %w", err)
	}
	return found, nil
}

// ReadAgent reads a version of an agent, 0 for the newest. lock is what is added
// to the statement.
func ReadAgent(ctx context.Context, db DB, org, id string, version int, lock string) (agent.Agent, error) {
	where, args := "WHERE a.org = ? AND a.id = ? AND v.version = a.version", []any{org, id}
	if version > 0 {
		where, args = "WHERE a.org = ? AND a.id = ? AND v.version = ?", append(args, version)
	}
	found, err := readAgents(ctx, db, where+lock, args...)
	if err != nil {
		return agent.Agent{}, err
	}
	if len(found) == 0 {
		if version > 0 {
			return agent.Agent{}, fault.New(fault.NotFound, "no version %d of agent %q", version, id)
		}
		return agent.Agent{}, fault.New(fault.NotFound,
			`no agent %q: make it with 'errand agent apply %s', or PUT /v1/agents/%s {"name": "%s", "runtime": "worker"}`, id, id, id, id)
	}
	return found[0], nil
}

// LockAgent keeps an agent from being deleted until the commit.
const LockAgent = " FOR KEY SHARE OF a"

// Agent implements lifecycle.RecordReader.
func (r *Reader) Agent(ctx context.Context, org, id string, version int) (agent.Agent, error) {
	return ReadAgent(ctx, r.DB, org, id, version, "")
}

// readPart reads agents as readAgents does, but no more than a few mebibytes of them.
func readPart(ctx context.Context, db DB, where string, args ...any) ([]agent.Agent, error) {
	var found []agent.Agent
	size := 0
	err := each(ctx, db, selectPart+where, args, func(rows Rows) error {
		var a agent.Agent
		var n int
		if err := scan(rows, agentColumns(&a), &n); err != nil {
			return err
		}
		found = append(found, a)
		if size += n; size >= maxBytes {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("read agents: %w", err)
	}
	return found, nil
}

// AgentVersions implements lifecycle.RecordReader.
func (r *Reader) AgentVersions(ctx context.Context, org, id string, before, limit int) ([]agent.Agent, error) {
	if before == 0 {
		before = math.MaxInt32
	}
	return readPart(ctx, r.DB, "WHERE a.org = ? AND a.id = ? AND v.version < ? ORDER BY v.version DESC LIMIT ?", org, id, before, limit)
}

// Agents implements lifecycle.RecordReader.
func (r *Reader) Agents(ctx context.Context, org, after string, limit int) ([]agent.Agent, error) {
	return readPart(ctx, r.DB, "WHERE a.org = ? AND a.id > ? AND v.version = a.version ORDER BY a.id LIMIT ?", org, after, limit)
}

// PutAgent makes an agent, or another version of it.
func PutAgent(a agent.Agent) []Op {
	return []Op{
		{
			SQL: `INSERT INTO agents (org, id, version, created_at, updated_at) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (org, id) DO UPDATE SET version = excluded.version, updated_at = excluded.updated_at`,
			Args: []any{a.OrganizationID, a.ID, a.Version, int64(a.CreatedAt), int64(a.UpdatedAt)}, In: Agents,
		},
		{
			SQL:  "INSERT INTO agent_versions (org, id, version, record, updated_at) VALUES (?, ?, ?, ?, ?)",
			Args: []any{a.OrganizationID, a.ID, a.Version, jsonField{&a.Record}.encode(), int64(a.UpdatedAt)}, In: Agents,
		},
	}
}

// DeleteAgent removes an agent with its versions.
func DeleteAgent(org, id string) []Op {
	return []Op{
		{SQL: "DELETE FROM agent_versions WHERE org = ? AND id = ?", Args: []any{org, id}, In: Agents},
		{SQL: "DELETE FROM agents WHERE org = ? AND id = ?", Args: []any{org, id}, In: Agents},
	}
}

// Secret implements lifecycle.RecordReader.
func (r *Reader) Secret(ctx context.Context, org string, of lifecycle.SecretOf, id string) ([]byte, error) {
	var sealed []byte
	_, err := one(ctx, r.DB, "SELECT sealed FROM secrets WHERE org = ? AND owner = ? AND id = ?", []any{org, string(of), id}, &sealed)
	return sealed, err
}

// PutSecret keeps a sealed secret.
func PutSecret(org string, of lifecycle.SecretOf, id string, sealed []byte) Op {
	return Op{
		SQL: `INSERT INTO secrets (org, owner, id, sealed) VALUES (?, ?, ?, ?)
			ON CONFLICT (org, owner, id) DO UPDATE SET sealed = excluded.sealed`,
		Args: []any{org, string(of), id, sealed}, In: Secrets,
	}
}

// DeleteSecret removes a secret.
func DeleteSecret(org string, of lifecycle.SecretOf, id string) Op {
	return Op{SQL: "DELETE FROM secrets WHERE org = ? AND owner = ? AND id = ?", Args: []any{org, string(of), id}, In: Secrets}
}

// ReadReplay reads what an idempotency key stands for, nil for nothing.
func ReadReplay(ctx context.Context, db DB, org, route, key string) (*lifecycle.Replay, error) {
	var r lifecycle.Replay
	found, err := one(ctx, db, "SELECT hash, task, at FROM replays WHERE org = ? AND route = ? AND key = ?",
		[]any{org, route, key}, &r.Hash, &r.TaskID, &r.At)
	if err != nil || !found {
		return nil, err
	}
	return &r, nil
}

// ReadReplays reads what several idempotency keys of a route, at least one, stand for:
// those that do for something.
func ReadReplays(ctx context.Context, db DB, org, route string, keys []string) (map[string]*lifecycle.Replay, error) {
	places, among := among(keys)
	found := map[string]*lifecycle.Replay{}
	err := each(ctx, db, "SELECT key, hash, task, at FROM replays WHERE org = ? AND route = ? AND key IN "+places, append([]any{org, route}, among...),
		func(rows Rows) error {
			var key string
			var r lifecycle.Replay
			err := rows.Scan(&key, &r.Hash, &r.TaskID, &r.At)
			found[key] = &r
			return err
		})
	return found, err
}

// PutReplay keeps what a key stands for, in the place of what it stood for before.
func PutReplay(org, route, key string, before *lifecycle.Replay, r lifecycle.Replay) Op {
	if before == nil {
		return Op{
			SQL:  "INSERT INTO replays (org, route, key, hash, task, at) VALUES (?, ?, ?, ?, ?, ?)",
			Args: []any{org, route, key, r.Hash, r.TaskID, int64(r.At)}, In: Replays,
		}
	}
	return Op{
		SQL:  "UPDATE replays SET hash = ?, task = ?, at = ? WHERE org = ? AND route = ? AND key = ? AND at = ? AND hash = ?",
		Args: []any{r.Hash, r.TaskID, int64(r.At), org, route, key, int64(before.At), before.Hash}, In: Replays, Must: true,
	}
}

// DropReplays drops keys that were used before a moment.
func DropReplays(org string, before task.Stamp) Op {
	return Op{SQL: "DELETE FROM replays WHERE org = ? AND at < ?", Args: []any{org, int64(before)}, In: Replays}
}

// Organizations implements lifecycle.RecordReader.
func (r *Reader) Organizations(ctx context.Context) ([]string, error) {
	return texts(ctx, r.DB, "SELECT id FROM organizations")
}

// PutOrganization makes an organization unless it is there.
func PutOrganization(id, name string, at task.Stamp) Op {
	return Op{
		SQL:  "INSERT INTO organizations (id, name, created_at) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING",
		Args: []any{id, name, int64(at)}, In: Organizations,
	}
}

func keyColumns(k *auth.Key) []column {
	return []column{
		{"org", &k.Organization},
		{"id", &k.ID},
		{"name", &k.Name},
		{"role", &k.Role},
		{"agents", jsonField{&k.Agents}},
		{"hash", &k.Hash},
		{"created_at", &k.CreatedAt},
		{"revoked_at", &k.RevokedAt},
		{"sees", &k.Sees},
		{"grp", &k.Group},
		{"trusted", &k.Trusted},
		{"caps", jsonField{&k.Caps}},
		{"expires_at", &k.ExpiresAt},
		{"created_by", &k.CreatedBy},
		{"last_used_at", &k.LastUsedAt},
		{"person", &k.Person},
	}
}

// Statements that are made of lists of columns.
var (
	selectKey  = "SELECT " + names(keyColumns(new(auth.Key)), "") + " FROM keys WHERE "
	insertKey  = insert("keys", keyColumns(new(auth.Key)))
	selectFeed = "SELECT " + names(feedColumns(new(feed.Entry)), "") + " FROM feed "
	insertFeed = insert("feed", append(feedColumns(new(feed.Entry)), column{"at", new(task.Stamp)}))
)

func readKeys(ctx context.Context, db DB, where string, args ...any) ([]auth.Key, error) {
	found, err := all(ctx, db, selectKey+where, args, keyColumns)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return found, nil
}

// ReadKeys lists an organization's keys to be written.
func ReadKeys(ctx context.Context, db DB, org string) ([]auth.Key, error) {
	return readKeys(ctx, db, "org = ? ORDER BY created_at, id FOR UPDATE", org)
}

// KeyByHash implements auth.Store.
func (r *Reader) KeyByHash(ctx context.Context, hash []byte) (auth.Key, error) {
	found, err := readKeys(ctx, r.DB, "hash = ?", hash)
	if err != nil {
		return auth.Key{}, err
	}
	if len(found) == 0 || subtle.ConstantTimeCompare(found[0].Hash, hash) != 1 {
		return auth.Key{}, fault.New(fault.NotFound, "no such key")
	}
	return found[0], nil
}

// Keys implements auth.Store.
func (r *Reader) Keys(ctx context.Context, org string, behind auth.Key, limit int) ([]auth.Key, error) {
	return readKeys(ctx, r.DB, "org = ? AND (created_at, id) > (?, ?) ORDER BY created_at, id LIMIT ?", org, int64(behind.CreatedAt), behind.ID, limit)
}

// InsertKey makes a key.
func InsertKey(k auth.Key) Op {
	k.Agents = append([]string{}, k.Agents...)
	return Op{SQL: insertKey, Args: values(keyColumns(&k)), In: Keys}
}

// RevokeKey notes that a key is good no more.
func RevokeKey(org, id string, at task.Stamp) Op {
	return Op{SQL: "UPDATE keys SET revoked_at = ? WHERE org = ? AND id = ?", Args: []any{int64(at), org, id}, In: Keys, Must: true}
}

// CapKey gives a key other caps, nil for none.
func CapKey(org, id string, caps *task.Caps) Op {
	return Op{SQL: "UPDATE keys SET caps = ? WHERE org = ? AND id = ?", Args: []any{jsonField{caps}.encode(), org, id}, In: Keys, Must: true}
}

// changePerson gives the key of a person what k says of them.
func changePerson(k auth.Key) Op {
	return Op{
		SQL:  "UPDATE keys SET name = ?, role = ?, sees = ?, grp = ?, person = ? WHERE org = ? AND id = ?",
		Args: []any{k.Name, k.Role, k.Sees, k.Group, k.Person, k.Organization, k.ID}, In: Keys, Must: true,
	}
}

func useKey(org, id string, at task.Stamp) Op {
	return Op{SQL: "UPDATE keys SET last_used_at = ? WHERE org = ? AND id = ? AND last_used_at < ?", Args: []any{int64(at), org, id, int64(at)}, In: Keys}
}

// InsertFeed adds entries to the feed.
func InsertFeed(entries []feed.Entry, at task.Stamp) []Op {
	ops := make([]Op, len(entries))
	for i := range entries {
		ops[i] = Op{SQL: insertFeed, Args: append(values(feedColumns(&entries[i])), int64(at)), In: Feed}
	}
	return Merge(ops)
}

// ReadFeed reads entries behind a position and before a commit, in order.
func ReadFeed(ctx context.Context, db DB, after feed.Position, before int64, limit int) ([]feed.Entry, error) {
	found, err := all(ctx, db, selectFeed+"WHERE (pos, n) > (?, ?) AND pos < ? ORDER BY pos, n LIMIT ?",
		[]any{after.Commit, after.N, before, limit}, feedColumns)
	if err != nil {
		return nil, fmt.Errorf("read feed: %w", err)
	}
	return found, nil
}

// ReadNews reads entries of commits behind a position that satisfy a condition on pos.
func ReadNews(ctx context.Context, db DB, after feed.Position, condition string, args []any, limit int) ([]feed.Entry, error) {
	found, err := all(ctx, db, selectFeed+"WHERE (pos, n) > (?, ?) AND "+condition+" ORDER BY pos, n LIMIT ?",
		append(append([]any{after.Commit, after.N}, args...), limit), feedColumns)
	if err != nil {
		return nil, fmt.Errorf("read feed: %w", err)
	}
	return found, nil
}

// FeedBegin is the position of the first entry.
func FeedBegin(ctx context.Context, db DB) (feed.Position, error) {
	var begin feed.Position
	_, err := one(ctx, db, "SELECT pos, n FROM feed ORDER BY pos, n LIMIT 1", nil, &begin.Commit, &begin.N)
	return begin, err
}

// FeedEnd is the position of the last entry before a commit.
func FeedEnd(ctx context.Context, db DB, before int64) (feed.Position, error) {
	var end feed.Position
	_, err := one(ctx, db, "SELECT pos, n FROM feed WHERE pos < ? ORDER BY pos DESC, n DESC LIMIT 1", []any{before}, &end.Commit, &end.N)
	return end, err
}

// feedStep is how many entries of the feed one commit drops.
const feedStep = 1000

// oldFeed finds the entries at the beginning of the feed that are older than a moment,
// stand before a commit and have been read by the search and for webhooks, up to the first
// that is not: so what is kept has no gap. The
// last of them stays, as the place of whoever has read all of them, and as the number
// where the next start goes on. It returns how many are left, at most feedStep, and the
// position in front of which they stand.
func oldFeed(ctx context.Context, db DB, old task.Stamp, before int64) (n int, upTo feed.Position, err error) {
	var read, told feed.Position
	if _, err := one(ctx, db, "SELECT pos, n FROM search", nil, &read.Commit, &read.N); err != nil {
		return 0, upTo, fmt.Errorf("read what the search has read: %w", err)
	}
	hooks, err := one(ctx, db, "SELECT pos, n FROM webhooks WHERE enabled = 1 ORDER BY pos, n LIMIT 1", nil, &told.Commit, &told.N)
	if err != nil {
		return 0, upTo, fmt.Errorf("read what webhooks were told: %w", err)
	}
	if hooks && told.Before(read) {
		read = told
	}
	found := 0
	err = each(ctx, db, "SELECT pos, n, at FROM feed WHERE pos < ? ORDER BY pos, n LIMIT ?", []any{before, feedStep + 1}, func(rows Rows) error {
		var p feed.Position
		var at int64
		if err := rows.Scan(&p.Commit, &p.N, &at); err != nil {
			return err
		}
		if at >= int64(old) || read.Before(p) {
			return errEnough
		}
		found, upTo = found+1, p
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return 0, upTo, fmt.Errorf("read feed: %w", err)
	}
	return max(found-1, 0), upTo, nil
}

// dropFeed drops the entries in front of a position.
func dropFeed(upTo feed.Position) Op {
	return Op{SQL: "DELETE FROM feed WHERE (pos, n) < (?, ?)", Args: []any{upTo.Commit, upTo.N}, In: Feed}
}
