package main

import (
	"context"
	"os/exec"
	"time"
)

// A peer is a system that keeps tasks and brings them to handlers in Go, with its own
// client on both sides. Each turn has a new one, in a process of its own.
type peer interface {
	// start brings the system up, empty, with handlers for up to slots tasks at a time
	// that call begun with the task's id and are done at once.
	start(ctx context.Context, s *site, begun func(id string)) error
	// create returns when the task is stored.
	create(ctx context.Context, id string) error
	// idle tells whether all tasks that were created are stored as finished.
	idle(ctx context.Context) (bool, error)
	// stop ends the system and removes what it has stored.
	stop() error
}

// An invoker can also wait for what a task has come to.
type invoker interface {
	// invoke creates a task and returns when its end is known.
	invoke(ctx context.Context, id string) error
}

// A streamer has viewers of what a handler tells while it works.
type streamer interface {
	// firstWord is how long it takes from a handler's first word to a viewer of the task.
	firstWord(ctx context.Context, id string) (time.Duration, error)
}

// slots is how many tasks a peer executes at a time.
const slots = 256

// prompt is what a task is about.
const prompt = "Summarize the attached report in five sentences, and name its sources."

// A kind is one of the systems that take turns.
type kind struct {
	name, is string // for -only, and for the table
	make     func() peer
	// program finds or installs a program that it needs, and keeps what it has installed in
	// a folder; nil for none.
	program func(ctx context.Context, cache string) (string, error)
	// noInvoke and noStream say why a row has no figure.
	noInvoke, noStream string
}

// kinds are all of them. The first is what the others are compared with.
func kinds() []kind {
	return []kind{
		{name: "errand-postgres", is: "Errand on PostgreSQL, over HTTP", make: func() peer { return &errandPeer{postgres: true} }},
		{name: "errand-sqlite", is: "Errand on SQLite, over HTTP", make: func() peer { return &errandPeer{} }},
		{
			name: "river", is: "River on PostgreSQL, in process", make: func() peer { return &riverPeer{} },
			noInvoke: "nobody waits for a job but by looking", noStream: "has no stream",
		},
		{
			name: "dbos", is: "DBOS on PostgreSQL, in process, its queue", make: func() peer { return &dbosPeer{} },
			noStream: "its streams are read by looking every second, unless in process",
		},
		{
			name: "asynq", is: "Asynq on Redis with appendfsync always, in process", make: func() peer { return &asynqPeer{} },
			program:  func(context.Context, string) (string, error) { return exec.LookPath("redis-server") },
			noInvoke: "nobody waits for a task but by looking", noStream: "has no stream",
		},
		{
			name: "restate", is: "Restate " + restateVersion + ", over HTTP", make: func() peer { return &restatePeer{} },
			program: installRestate, noStream: "a handler has no stream",
		},
		{
			name: "temporal", is: "Temporal's development server " + temporalVersion + " on SQLite, over gRPC", make: func() peer { return &temporalPeer{} },
			program: installTemporal, noStream: "an activity has no stream",
		},
		{
			name: "langgraph", is: "LangGraph.js's development server " + langgraphVersion + ", in memory, over HTTP", make: func() peer { return &langgraphPeer{} },
			program: installLanggraph,
		},
	}
}
