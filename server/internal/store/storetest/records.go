package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	agents "github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func recordParts() []part {
	return []part{
		{"AgentsAndVersions", agentVersions},
		{"AgentsAreDeleted", deletedAgents},
		{"AnUndoneAgentIsForgotten", undoneAgent},
		{"AgentsAreReadAsTheyAreNow", agentNow},
		{"Keys", keys},
		{"Sessions", sessions},
		{"Passes", passes},
		{"Secrets", secrets},
		{"Replays", replays},
		{"OrganizationsAreListed", organizations},
	}
}

// agentRecord is a version of an agent in which every field is set.
func agentRecord(org, id string, version int) agents.Agent {
	return agents.Agent{
		OrganizationID: org, ID: id, Version: version, CreatedAt: 100, UpdatedAt: task.Stamp(100 * version),
		Record: agents.Record{
			Name: fmt.Sprintf("%s, version %d of %s", id, version, org), Runtime: agents.Worker, Description: new("é <b>"),
			Instructions: &agents.Instructions{Role: []string{"r"}, Goal: []string{"g", "h"}, General: "x"},
			Framework:    "agno", ModelProvider: "openai", ModelName: "m", LLMAPIBase: new("https://example.org"),
			LLMCredential: &agents.Credentials{Name: "n", Description: new("d")}, OutputFormat: new("json"),
			OutputSchema: json.RawMessage(`{"type":"object","maximum":12345678901234567890}`),
			DeepPlanning: true, EnforcePlan: true, Lease: 12, MaxAttempts: 7, RetryStarted: true, RetryErrors: true,
		},
	}
}

// undoneAgent asks for an agent whose change has been taken back: a store that
// remembers agents must not remember that one.
func undoneAgent(e *env) {
	one, two := agentRecord(home, "a", 1), agentRecord(home, "a", 2)
	e.write(func(tx lifecycle.Tx) error { return tx.PutAgent(one) })
	undo := errors.New("undo")
	err := e.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error {
		if err := tx.PutAgent(two); err != nil {
			return err
		}
		got, err := tx.Agent(home, "a", 0)
		return errors.Join(err, differs("agent in its write", two, got), undo)
	})
	if !errors.Is(err, undo) {
		e.t.Fatal(err)
	}
	e.write(func(tx lifecycle.Tx) error {
		got, err := tx.Agent(home, "a", 0)
		return errors.Join(err, differs("agent after the undone change", one, got))
	})
}

// agentNow asks for an agent again and again while it changes: a store that
// remembers agents must not answer one that is not any more.
func agentNow(e *env) {
	expect := func(what string, want int) {
		e.t.Helper()
		for range 2 {
			got := read(e, func(tx lifecycle.Tx) (int, error) {
				a, err := tx.Agent(home, "a", 0)
				if fault.CodeOf(err) == fault.NotFound {
					err = nil
				}
				return a.Version, err
			})
			e.same(what, want, got)
		}
	}
	key := lifecycle.Key{Of: lifecycle.AgentKey, Organization: home, ID: "a"}
	expect("at first", 0)
	for n := 1; n <= 3; n++ {
		e.write(func(tx lifecycle.Tx) error { return tx.PutAgent(agentRecord(home, "a", n)) }, key)
		expect("a new version", n)
	}
	e.write(func(tx lifecycle.Tx) error { return tx.DeleteAgent(home, "a") }, key)
	expect("deleted", 0)
	seen := make([]int, 4)
	for _, err := range e.crowd(len(seen), func(ctx context.Context, i int) error { // in one commit
		return e.Write(ctx, []lifecycle.Key{key}, func(tx lifecycle.Tx) error {
			if err := tx.PutAgent(agentRecord(home, "a", i+1)); err != nil {
				return err
			}
			a, err := tx.Agent(home, "a", 0)
			seen[i] = a.Version
			return err
		})
	}) {
		e.ok(err)
	}
	e.same("seen by callers who came together", []int{1, 2, 3, 4}, seen)
	expect("after that", 4)
}

func agentVersions(e *env) {
	ctx := e.t.Context()
	one, two := agentRecord(home, "b", 1), agentRecord(home, "b", 2)
	first, foreign := agentRecord(home, "a", 1), agentRecord(away, "b", 1)
	for _, a := range []agents.Agent{one, two, first, foreign} {
		e.write(func(tx lifecycle.Tx) error {
			if err := tx.PutAgent(a); err != nil {
				return err
			}
			got, err := tx.Agent(a.OrganizationID, a.ID, 0)
			return errors.Join(err, differs("agent in its write", a, got))
		})
	}
	for _, c := range []struct {
		org     string
		version int
		want    agents.Agent
	}{{home, 0, two}, {home, 1, one}, {home, 2, two}, {away, 0, foreign}} {
		got, err := e.Agent(ctx, c.org, "b", c.version)
		e.ok(err)
		e.same("agent", c.want, got)
		e.write(func(tx lifecycle.Tx) error {
			got, err := tx.Agent(c.org, "b", c.version)
			return errors.Join(err, differs("agent in a write", c.want, got))
		})
	}
	_, err := e.Agent(ctx, home, "b", 3)
	e.missing("unknown version", err)
	_, err = e.Agent(ctx, away, "a", 0)
	e.missing("agent of another organization", err)
	all, err := e.Agents(ctx, home, "", 100)
	e.ok(err)
	e.same("agents by id, the newest version of each", []agents.Agent{first, two}, all)
	if err := e.Write(ctx, nil, func(tx lifecycle.Tx) error { return tx.PutAgent(agentRecord(home, "b", 1)) }); err == nil {
		e.t.Error("a version was stored twice")
	}
	all, err = e.Agents(ctx, home, "", 100)
	e.ok(err)
	e.same("agents after that", []agents.Agent{first, two}, all)
	for after, want := range map[string][]agents.Agent{"": {first}, first.ID: {two}, two.ID: nil} {
		part, err := e.Agents(ctx, home, after, 1)
		e.ok(err)
		e.same("one agent after "+after, want, part)
	}
	older, err := e.AgentVersions(ctx, home, two.ID, two.Version, 1)
	e.ok(err)
	e.same("versions before the newest", two.Version-1, len(older))
	long := agentRecord(home, "long", 1)
	long.Record.Name = strings.Repeat("x", 2<<20)
	e.write(func(tx lifecycle.Tx) error {
		return errors.Join(tx.PutAgent(long), tx.PutAgent(agentRecord(home, "longer", 1)))
	})
	part, err := e.Agents(ctx, home, two.ID, 100)
	e.ok(err)
	e.same("agents up to one that is long", 1, len(part))
}

func deletedAgents(e *env) {
	ctx := e.t.Context()
	one, two, other, foreign := agentRecord(home, agent, 1), agentRecord(home, agent, 2), agentRecord(home, "b", 1), agentRecord(away, agent, 1)
	e.write(func(tx lifecycle.Tx) error {
		return errors.Join(tx.PutAgent(one), tx.PutAgent(two), tx.PutAgent(other), tx.PutAgent(foreign))
	})
	versions := func(org, id string, want ...agents.Agent) {
		e.t.Helper()
		got, err := e.AgentVersions(ctx, org, id, 0, 100)
		e.ok(err)
		e.same("versions, the newest first", want, got)
	}
	versions(home, agent, two, one)
	versions(away, agent, foreign)
	versions(home, "nobody")

	hasOpen := func(org, id string, want bool) {
		e.t.Helper()
		e.same("open task", want, read(e, func(tx lifecycle.Tx) (bool, error) { return tx.HasOpenTask(org, id) }))
	}
	hasOpen(home, agent, false)
	e.begin("t")
	hasOpen(home, agent, true)
	hasOpen(home, "b", false)
	hasOpen(away, agent, false)
	e.do(home, "t", claim("w"))
	hasOpen(home, agent, true)
	e.do(home, "t", settle(task.EndCompleted, "r"))
	hasOpen(home, agent, false)
	e.do(home, "t", beginning(home, "t"), task.Pause{})
	hasOpen(home, agent, true)
	e.do(home, "t", task.RequestStop{}, task.Patch{Full: true, Status: task.Paused, Number: 2}) // only shown as paused
	hasOpen(home, agent, false)

	e.write(func(tx lifecycle.Tx) error {
		return errors.Join(tx.DeleteAgent(home, agent), tx.DeleteAgent(home, "nobody"))
	})
	versions(home, agent)
	versions(away, agent, foreign)
	_, err := e.Agent(ctx, home, agent, 0)
	e.missing("deleted agent", err)
	all, err := e.Agents(ctx, home, "", 100)
	e.ok(err)
	e.same("agents", []agents.Agent{other}, all)
	e.write(func(tx lifecycle.Tx) error { return tx.PutAgent(one) })
	versions(home, agent, one)
}

func keys(e *env) {
	ctx := e.t.Context()
	key := func(org, id string, role auth.Role, at task.Stamp, agents ...string) auth.Key {
		return auth.Key{
			Organization: org, ID: id, Name: "name of " + id, Role: role, Agents: append([]string{}, agents...),
			Hash: auth.Hash(org + id), CreatedAt: at, Sees: auth.SeesAll,
		}
	}
	worker, first, second := key(home, "w", auth.Worker, 1, "b", "a"), key(home, "a", auth.Admin, 3), key(home, "b", auth.Admin, 2)
	foreign := key(away, "a", auth.Admin, 1)
	worker.Sees, worker.Group = auth.SeesGroup, "é"
	first.Sees, first.Trusted = auth.SeesOwn, true
	for _, k := range []auth.Key{first, second, worker, foreign} {
		e.ok(e.PutKey(ctx, k))
		got, err := e.KeyByHash(ctx, k.Hash)
		e.ok(err)
		e.same("key", k, got)
	}
	if e.PutKey(ctx, auth.Key{Organization: home, ID: "c", Hash: first.Hash}) == nil {
		e.t.Error("a key was stored twice")
	}
	_, err := e.KeyByHash(ctx, auth.Hash("nobody's"))
	e.missing("unknown key", err)
	listed := func(org string, want ...auth.Key) {
		e.t.Helper()
		got, err := e.Keys(ctx, org, auth.Key{}, 100)
		e.ok(err)
		e.same("keys, the oldest first", want, got)
	}
	listed(home, worker, second, first)
	listed("nowhere")
	caps := &task.Caps{Day: &task.Allowance{Tokens: 5, Cost: 0.25}, WarnAt: 0.5, AtLimit: task.EndAtLimit}
	_, err = e.CapKey(ctx, away, "b", caps)
	e.missing("key of another organization", err)
	for _, want := range []*task.Caps{caps, nil} {
		capped, err := e.CapKey(ctx, home, "w", want)
		e.ok(err)
		worker.Caps = want
		e.same("key with caps", worker, capped)
		e.caps(task.Spender{Of: task.CapKey, ID: "w"}, want)
		listed(home, worker, second, first)
	}
	e.caps(task.Spender{Of: task.CapKey, ID: "nobody"}, nil)
	part, err := e.Keys(ctx, home, worker, 1)
	e.ok(err)
	e.same("one key behind the first", []auth.Key{second}, part)

	e.missing("revoked key of another organization", e.RevokeKey(ctx, away, "b"))
	e.ok(e.RevokeKey(ctx, home, "w"))
	worker.RevokedAt = e.clock.stamp()
	e.ok(e.RevokeKey(ctx, home, "b"))
	second.RevokedAt = e.clock.stamp()
	e.clock.advance(time.Second)
	e.ok(e.RevokeKey(ctx, home, "b"))
	listed(home, worker, second, first)
	got, err := e.KeyByHash(ctx, worker.Hash)
	e.ok(err)
	e.same("revoked key", worker, got)
	for _, org := range []string{home, away} {
		if err := e.RevokeKey(ctx, org, "a"); fault.CodeOf(err) != fault.Conflict {
			e.t.Errorf("the last admin key of %s: %v", org, err)
		}
	}
	listed(home, worker, second, first)
	listed(away, foreign)

	anna := key(home, "p", auth.Admin, 9)
	anna.Person, anna.ExpiresAt = "anna", 0
	put := func(what string, k, want auth.Key) {
		e.t.Helper()
		kept, err := e.PutPerson(ctx, k)
		e.ok(err)
		e.same(what, want, kept)
		kept, err = e.KeyByHash(ctx, k.Hash)
		e.ok(err)
		e.same(what+", stored", want, kept)
	}
	put("a person", anna, anna)
	if err := e.RevokeKey(ctx, home, "a"); fault.CodeOf(err) != fault.Conflict {
		e.t.Errorf("the last admin key that is no person's: %v", err)
	}
	anna.Name, anna.Role, anna.Sees, anna.Group, anna.Person = "Anna", auth.User, auth.SeesGroup, "g", "anna@example.com"
	changed := anna
	changed.ID, changed.CreatedAt = "q", 10 // as the next sign-in would make it
	put("the person changed", changed, anna)
	e.ok(e.RevokeKey(ctx, home, "p"))
	anna.RevokedAt = e.clock.stamp()
	changed.Role = auth.Admin
	put("the person revoked", changed, anna)
}

func sessions(e *env) {
	ctx := e.t.Context()
	k := auth.Key{Organization: home, ID: "k", Name: "k", Role: auth.User, Agents: []string{}, Hash: auth.Hash("k"), CreatedAt: 1, Sees: auth.SeesAll}
	e.ok(e.PutKey(ctx, k))
	session := func(text string, until task.Stamp) auth.Session {
		return auth.Session{Organization: home, Hash: auth.Hash(text), KeyID: k.ID, Until: until}
	}
	one, other := session("one", 100), session("other", 200)
	expect := func(s auth.Session) {
		e.t.Helper()
		got, of, err := e.SessionByHash(ctx, s.Hash)
		e.ok(err)
		e.same("session", s, got)
		e.same("its key", k, of)
	}
	gone := func(what string, s auth.Session) {
		e.t.Helper()
		_, _, err := e.SessionByHash(ctx, s.Hash)
		e.missing(what, err)
	}
	gone("unknown session", one)
	e.ok(e.ExtendSession(ctx, one))
	gone("session that was not there to be extended", one)
	for _, s := range []auth.Session{one, other} {
		e.ok(e.PutSession(ctx, s))
		expect(s)
	}
	one.Until = 150
	e.ok(e.ExtendSession(ctx, one))
	expect(one)
	expect(other)
	e.ok(e.DropSessions(ctx, 149))
	expect(one)
	e.ok(e.DropSessions(ctx, 150))
	gone("session that is over", one)
	expect(other)
	e.ok(e.DropSession(ctx, one))
	e.ok(e.DropSession(ctx, other))
	gone("dropped session", other)
}

func passes(e *env) {
	ctx := e.t.Context()
	k := auth.Key{Organization: home, ID: "k", Name: "k", Role: auth.User, Agents: []string{}, Hash: auth.Hash("k"), CreatedAt: 1, Sees: auth.SeesAll}
	e.ok(e.PutKey(ctx, k))
	pass := func(id, of string, until task.Stamp) auth.Pass {
		return auth.Pass{Organization: home, ID: id, Hash: auth.Hash(id), KeyID: k.ID, Task: of, CreatedAt: 5, Until: until}
	}
	link, late := pass("link", "", 100), pass("late", "", 50)
	for _, p := range []auth.Pass{link, late} {
		e.ok(e.PutPass(ctx, p))
	}
	gone := func(what string, p auth.Pass) {
		e.t.Helper()
		_, _, err := e.TakePass(ctx, p.Hash)
		e.missing(what, err)
	}
	gone("unknown pass", pass("unknown", "", 1))
	e.ok(e.DropPasses(ctx, 49))
	e.ok(e.DropPasses(ctx, 50))
	gone("pass that is over", late)
	got, of, err := e.TakePass(ctx, link.Hash)
	e.ok(err)
	e.same("pass", link, got)
	e.same("its key", k, of)
	gone("pass that was taken", link)
	e.missing("task that is not there", e.PutPass(ctx, pass("early", "shared", 100)))
	e.begin("shared")
	one, two, over := pass("one", "shared", 1<<50), pass("two", "shared", 1<<50+1), pass("over", "shared", 7)
	for _, p := range []auth.Pass{two, over, one} {
		e.ok(e.PutPass(ctx, p))
	}
	got, of, err = e.PassByHash(ctx, over.Hash)
	e.ok(err)
	e.same("pass of a task", over, got)
	e.same("its key", k, of)
	gone("pass that signs nobody in", one)
	listed := func(want ...auth.Pass) {
		e.t.Helper()
		found, err := e.Passes(ctx, home, "shared", 7)
		e.ok(err)
		e.same("passes of a task", want, found)
	}
	listed(one, two)
	e.ok(e.DropPass(ctx, home, "shared", "one"))
	e.missing("dropped pass", e.DropPass(ctx, home, "shared", "one"))
	e.missing("pass of another organization", e.DropPass(ctx, away, "shared", "two"))
	listed(two)
	e.ok(e.Write(ctx, nil, func(tx lifecycle.Tx) error { return tx.Delete(home, "shared") }))
	_, _, err = e.PassByHash(ctx, two.Hash)
	e.missing("pass of a deleted task", err)
	e.ok(e.UseKey(ctx, home, "k", 90))
	e.ok(e.UseKey(ctx, home, "k", 80))
	k.LastUsedAt = 90
	used, err := e.KeyByHash(ctx, k.Hash)
	e.ok(err)
	e.same("key that was used", k, used)
}

func secrets(e *env) {
	type place struct {
		org string
		of  lifecycle.SecretOf
		id  string
	}
	places := []place{
		{home, lifecycle.OfTask, "x"},
		{home, lifecycle.OfAgent, "x"},
		{home, lifecycle.OfTask, "y"},
		{away, lifecycle.OfTask, "x"},
	}
	sealed := func(i, n int) []byte { return []byte{0, 255, byte(i), byte(n)} }
	expect := func(what string, want func(i int) []byte) {
		e.t.Helper()
		for i, p := range places {
			got, err := e.Secret(e.t.Context(), p.org, p.of, p.id)
			e.ok(err)
			e.same(fmt.Sprintf("%s: secret of %v", what, p), want(i), got)
		}
	}
	expect("at first", func(int) []byte { return nil })
	for i, p := range places {
		e.write(func(tx lifecycle.Tx) error { return tx.PutSecret(p.org, p.of, p.id, sealed(i, 1)) })
	}
	expect("put", func(i int) []byte { return sealed(i, 1) })
	e.write(func(tx lifecycle.Tx) error {
		return errors.Join(tx.PutSecret(home, lifecycle.OfAgent, "x", sealed(1, 2)), tx.DeleteSecret(home, lifecycle.OfTask, "x"), tx.DeleteSecret(home, lifecycle.OfTask, "z"))
	})
	expect("one replaced, one deleted", func(i int) []byte { return [][]byte{nil, sealed(1, 2), sealed(2, 1), sealed(3, 1)}[i] })
}

func replays(e *env) {
	get := func(org, route, key string) *lifecycle.Replay {
		e.t.Helper()
		return read(e, func(tx lifecycle.Tx) (*lifecycle.Replay, error) { return tx.Replay(org, route, key) })
	}
	put := func(org, route, key string, before *lifecycle.Replay, r lifecycle.Replay) error {
		return e.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error {
			if err := tx.PutReplay(org, route, key, before, r); err != nil {
				return err
			}
			got, err := tx.Replay(org, route, key)
			return errors.Join(err, differs("replay in its write", &r, got))
		})
	}
	none := (*lifecycle.Replay)(nil)
	now := e.clock.stamp()
	one := lifecycle.Replay{Hash: []byte{1, 0, 2}, TaskID: "t-1", At: now}
	two := lifecycle.Replay{Hash: []byte{3}, TaskID: "t-2", At: now + 1}
	e.ok(put(home, "create", "k", nil, one))
	e.ok(put(home, "invoke", "k", nil, two))
	e.ok(put(away, "create", "k", nil, two))
	e.same("replay", &one, get(home, "create", "k"))
	e.same("of another route", &two, get(home, "invoke", "k"))
	e.same("of another organization", &two, get(away, "create", "k"))
	e.same("of another key", none, get(home, "create", "K"))

	e.same("several", map[string]*lifecycle.Replay{"k": &one}, read(e, func(tx lifecycle.Tx) (map[string]*lifecycle.Replay, error) {
		return tx.Replays(home, "create", []string{"K", "k", "l"})
	}))

	// What it is to replace must be what is there.
	if put(home, "create", "k", nil, two) == nil || put(home, "create", "k", &two, two) == nil || put(home, "create", "new", &one, two) == nil {
		e.t.Error("a key was put in the place of something else")
	}
	e.same("not replaced", &one, get(home, "create", "k"))
	e.same("not made", none, get(home, "create", "new"))

	drop := func(before task.Stamp) {
		e.t.Helper()
		e.write(func(tx lifecycle.Tx) error { return tx.DropReplays(home, before) })
	}
	drop(now + 1)
	e.same("older than the moment", none, get(home, "create", "k"))
	e.same("not older", &two, get(home, "invoke", "k"))
	e.ok(put(home, "create", "k", nil, two))
	e.same("used anew", &two, get(home, "create", "k"))
	e.ok(put(home, "create", "k", &two, one))
	e.same("replaced", &one, get(home, "create", "k"))
	drop(now + 2)
	e.same("dropped", none, get(home, "invoke", "k"))
	e.same("not dropped elsewhere", &two, get(away, "create", "k"))
}

func organizations(e *env) {
	e.ok(e.PutOrganization(e.t.Context(), home, "again"))
	for _, word := range []string{ // of rule H1
		"v1", "f", "ui", "healthz", "readyz", "metrics", "debug", "a2a", "mcp", "openai", "agui", "aisdk", "proxy", "agents", "agent-execution",
	} {
		e.same("code for the organization "+word, fault.Invalid, fault.CodeOf(e.PutOrganization(e.t.Context(), word, word)))
	}
	orgs, err := e.Organizations(e.t.Context())
	e.ok(err)
	e.same("organizations", 2, len(orgs))
	e.same("clock", e.clock.stamp(), e.Now())
	e.write(func(tx lifecycle.Tx) error { return differs("clock in a write", e.clock.stamp(), tx.Now()) })
	e.same("code of an unknown organization's task", fault.NotFound, func() fault.Code {
		_, err := e.Task(e.t.Context(), auth.All("nowhere"), "t")
		return fault.CodeOf(err)
	}())
}
