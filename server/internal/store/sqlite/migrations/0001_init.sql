-- +goose Up
-- Every key begins with the organization, so that a database which shards can
-- hold the same layout. Moments are microseconds since 1970, 0 for none.

CREATE TABLE organizations (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE keys (
    org        TEXT NOT NULL,
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    agents     TEXT NOT NULL DEFAULT '[]', -- JSON; empty is all
    hash       BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (org, id)
) WITHOUT ROWID;

CREATE TABLE agents (
    org        TEXT NOT NULL,
    id         TEXT NOT NULL,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) WITHOUT ROWID;

CREATE TABLE agent_versions (
    org        TEXT NOT NULL,
    id         TEXT NOT NULL,
    version    INTEGER NOT NULL,
    record     TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org, id, version)
) WITHOUT ROWID;

-- A task's row shows its last turn; what is long or fixed stands in turns.
CREATE TABLE tasks (
    org                 TEXT NOT NULL,
    id                  TEXT NOT NULL,
    agent_id            TEXT NOT NULL,
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    turn                INTEGER NOT NULL,
    first_seq           INTEGER NOT NULL,
    last_seq            INTEGER NOT NULL,
    -- terms of the turn
    parent_id           TEXT NOT NULL DEFAULT '',
    user_id             TEXT NOT NULL DEFAULT '',
    pin                 TEXT NOT NULL DEFAULT '',
    run_locally         INTEGER NOT NULL DEFAULT 0,
    max_attempts        INTEGER NOT NULL,
    timeout             REAL NOT NULL DEFAULT 0,
    -- course of the turn
    ended               TEXT NOT NULL DEFAULT '', -- how it really ended
    starts              INTEGER NOT NULL DEFAULT 0,
    ready_at            INTEGER NOT NULL,
    expires_at          INTEGER NOT NULL DEFAULT 0,
    timeout_at          INTEGER NOT NULL DEFAULT 0,
    stop_requested_at   INTEGER NOT NULL DEFAULT 0,
    stop_by             TEXT NOT NULL DEFAULT '',
    stop_confirmed_at   INTEGER NOT NULL DEFAULT 0,
    stop_abandoned_at   INTEGER NOT NULL DEFAULT 0,
    stop_until          INTEGER NOT NULL DEFAULT 0,
    holdover            INTEGER NOT NULL DEFAULT 0, -- number of an earlier attempt that has not let go
    queued              INTEGER NOT NULL, -- 1: may be handed out from ready_at on
    alarm_at            INTEGER NOT NULL DEFAULT 0,
    -- state
    status              TEXT NOT NULL,
    end_reason          TEXT NOT NULL DEFAULT '',
    internal_status     TEXT,
    title               TEXT,
    source              TEXT NOT NULL DEFAULT '',
    triggering_agent_id TEXT,
    worker_id           TEXT,
    started_at          INTEGER NOT NULL DEFAULT 0,
    paused_at           INTEGER NOT NULL DEFAULT 0,
    finished_at         INTEGER NOT NULL DEFAULT 0,
    attempt             INTEGER NOT NULL,
    execution_attempts  INTEGER NOT NULL,
    priority            INTEGER NOT NULL DEFAULT 0,
    run_at              INTEGER NOT NULL DEFAULT 0,
    manually_stopped    INTEGER NOT NULL DEFAULT 0,
    side                TEXT NOT NULL DEFAULT '{}', -- JSON: the rest of the state
    PRIMARY KEY (org, id)
) WITHOUT ROWID;

CREATE INDEX tasks_queue   ON tasks (org, agent_id, pin, priority DESC, ready_at, id) WHERE queued = 1;
CREATE INDEX tasks_open    ON tasks (org, agent_id, created_at, id) WHERE ended = '';
CREATE INDEX tasks_alarm   ON tasks (org, alarm_at) WHERE alarm_at > 0;
CREATE INDEX tasks_created ON tasks (org, created_at, id);
CREATE INDEX tasks_agent   ON tasks (org, agent_id, created_at, id);
CREATE INDEX tasks_status  ON tasks (org, status, created_at, id);
CREATE INDEX tasks_user    ON tasks (org, user_id, created_at, id) WHERE user_id <> '';
CREATE INDEX tasks_parent  ON tasks (org, parent_id, created_at, id) WHERE parent_id <> '';
CREATE INDEX tasks_trigger ON tasks (org, triggering_agent_id, created_at, id) WHERE triggering_agent_id IS NOT NULL;
CREATE INDEX tasks_note    ON tasks (org, internal_status, created_at, id) WHERE internal_status IS NOT NULL;

-- What a turn was asked and what came of it, each stored once. A result that
-- an override put in the place of another does not replace it.
CREATE TABLE turns (
    org             TEXT NOT NULL,
    task            TEXT NOT NULL,
    n               INTEGER NOT NULL,
    spec            TEXT NOT NULL,
    result          TEXT,
    shown_result    TEXT, -- since an override; else null
    status          TEXT NOT NULL DEFAULT '',
    end_reason      TEXT NOT NULL DEFAULT '',
    attempts        INTEGER NOT NULL DEFAULT 0,
    tokens          TEXT,
    started_at      INTEGER NOT NULL DEFAULT 0,
    finished_at     INTEGER NOT NULL DEFAULT 0,
    first_seq       INTEGER NOT NULL,
    last_seq        INTEGER NOT NULL,
    PRIMARY KEY (org, task, n)
);

CREATE TABLE attempts (
    org         TEXT NOT NULL,
    task        TEXT NOT NULL,
    number      INTEGER NOT NULL,
    turn        INTEGER NOT NULL,
    in_turn     INTEGER NOT NULL,
    fenced      INTEGER NOT NULL,
    worker_id   TEXT NOT NULL,
    token_hash  TEXT NOT NULL DEFAULT '',
    may_retry   INTEGER NOT NULL DEFAULT 0,
    assigned_at INTEGER NOT NULL,
    started_at  INTEGER NOT NULL DEFAULT 0,
    ended_at    INTEGER NOT NULL DEFAULT 0,
    outcome     TEXT NOT NULL DEFAULT '',
    let_go_at   INTEGER NOT NULL DEFAULT 0,
    lease_us    INTEGER NOT NULL,
    lease_until INTEGER NOT NULL DEFAULT 0,
    give_up_at  INTEGER NOT NULL DEFAULT 0,
    sent_after  INTEGER NOT NULL DEFAULT 0,
    reported    INTEGER NOT NULL DEFAULT 0,
    refused_event INTEGER NOT NULL DEFAULT 0,
    refused_end INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (org, task, number)
) WITHOUT ROWID;

CREATE INDEX attempts_lease  ON attempts (org, lease_until) WHERE let_go_at = 0 AND lease_until > 0;
-- Attempts that a Python worker may still run (rule L9), and those whose end it
-- has not told (rule L6); the latter outlive their task.
CREATE INDEX attempts_worker ON attempts (org, worker_id) WHERE fenced = 0 AND let_go_at = 0;
CREATE INDEX attempts_untold ON attempts (org, worker_id) WHERE reported = 0;

CREATE TABLE events (
    org       TEXT NOT NULL,
    task      TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    turn      INTEGER NOT NULL,
    type      TEXT NOT NULL,
    time      INTEGER NOT NULL,
    own       TEXT NOT NULL,
    client_id TEXT,
    PRIMARY KEY (org, task, seq)
) WITHOUT ROWID;

CREATE UNIQUE INDEX events_client ON events (org, task, turn, client_id) WHERE client_id IS NOT NULL;

CREATE TABLE secrets (
    org    TEXT NOT NULL,
    owner  TEXT NOT NULL, -- task or agent
    id     TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (org, owner, id)
);

CREATE TABLE replays (
    org     TEXT NOT NULL,
    route   TEXT NOT NULL,
    key     TEXT NOT NULL,
    hash    BLOB NOT NULL,
    task    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (org, route, key)
) WITHOUT ROWID;

CREATE INDEX replays_at   ON replays (org, at);
CREATE INDEX replays_task ON replays (org, task);

CREATE TABLE workers (
    org           TEXT NOT NULL,
    id            TEXT NOT NULL,
    agent         TEXT NOT NULL,
    kind          TEXT NOT NULL,
    registered_at INTEGER NOT NULL,
    last_heard    INTEGER NOT NULL,
    connected     INTEGER NOT NULL,
    busy          INTEGER NOT NULL DEFAULT 0,
    held          INTEGER NOT NULL DEFAULT 0,
    key_id        TEXT NOT NULL DEFAULT '',
    address       TEXT NOT NULL DEFAULT '',
    last_beat     INTEGER NOT NULL DEFAULT 0,
    cut_at        INTEGER NOT NULL DEFAULT 0,
    heir_until    INTEGER NOT NULL DEFAULT 0,
    owner_in      TEXT NOT NULL DEFAULT '',
    heir_of       TEXT NOT NULL DEFAULT '',
    tally         TEXT NOT NULL DEFAULT '{}', -- JSON
    PRIMARY KEY (org, id, agent)
) WITHOUT ROWID;

CREATE INDEX workers_agent ON workers (org, agent, last_heard);
CREATE INDEX workers_kin   ON workers (org, agent, key_id, address, last_heard) WHERE kind = 'python';

-- What a Python worker has posted to say that an attempt is over: it repeats a
-- post whose answer it did not get, and each counts once (rule L6).
CREATE TABLE worker_posts (
    org    TEXT NOT NULL,
    worker TEXT NOT NULL,
    id     TEXT NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (org, worker, id)
) WITHOUT ROWID;

CREATE INDEX worker_posts_at ON worker_posts (org, at);

CREATE TABLE files (
    org          TEXT NOT NULL,
    id           TEXT NOT NULL, -- SHA-256 of the content, hexadecimal
    size         INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) WITHOUT ROWID;
