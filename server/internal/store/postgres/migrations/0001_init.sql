-- Payloads are kept as text: the same bytes as they came (jsonb would change or refuse
-- some). Text sorts by its bytes, whatever the database's locale.
-- Every key begins with the organization, so that a database which shards can
-- hold the same layout. Moments are microseconds since 1970, 0 for none.

CREATE TABLE organizations (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE keys (
    org        TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    role       TEXT COLLATE "C" NOT NULL,
    agents     TEXT COLLATE "C" NOT NULL DEFAULT '[]', -- JSON; empty is all
    hash       BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL DEFAULT 0,
    sees       TEXT COLLATE "C" NOT NULL DEFAULT 'all',
    grp        TEXT COLLATE "C" NOT NULL DEFAULT '',
    trusted    BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (org, id)
);

CREATE TABLE agents (
    org        TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (org, id)
);

CREATE TABLE agent_versions (
    org        TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    version    BIGINT NOT NULL,
    record     TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (org, id, version)
);

-- A task's row shows its last turn; what is long or fixed stands in turns.
CREATE TABLE tasks (
    org                 TEXT COLLATE "C" NOT NULL,
    id                  TEXT COLLATE "C" NOT NULL,
    agent_id            TEXT COLLATE "C" NOT NULL,
    created_at          BIGINT NOT NULL,
    updated_at          BIGINT NOT NULL,
    turn                BIGINT NOT NULL,
    first_seq           BIGINT NOT NULL,
    last_seq            BIGINT NOT NULL,
    -- terms of the turn
    parent_id           TEXT COLLATE "C" NOT NULL DEFAULT '',
    user_id             TEXT COLLATE "C" NOT NULL DEFAULT '',
    pin                 TEXT COLLATE "C" NOT NULL DEFAULT '',
    run_locally         BIGINT NOT NULL DEFAULT 0,
    max_attempts        BIGINT NOT NULL,
    timeout             DOUBLE PRECISION NOT NULL DEFAULT 0,
    -- course of the turn
    ended               TEXT COLLATE "C" NOT NULL DEFAULT '', -- how it really ended
    starts              BIGINT NOT NULL DEFAULT 0,
    ready_at            BIGINT NOT NULL,
    expires_at          BIGINT NOT NULL DEFAULT 0,
    timeout_at          BIGINT NOT NULL DEFAULT 0,
    stop_requested_at   BIGINT NOT NULL DEFAULT 0,
    stop_by             TEXT COLLATE "C" NOT NULL DEFAULT '',
    stop_confirmed_at   BIGINT NOT NULL DEFAULT 0,
    stop_abandoned_at   BIGINT NOT NULL DEFAULT 0,
    stop_until          BIGINT NOT NULL DEFAULT 0,
    holdover            BIGINT NOT NULL DEFAULT 0, -- number of an earlier attempt that has not let go
    queued              BIGINT NOT NULL, -- 1: may be handed out from ready_at on
    alarm_at            BIGINT NOT NULL DEFAULT 0,
    -- state
    status              TEXT COLLATE "C" NOT NULL,
    end_reason          TEXT COLLATE "C" NOT NULL DEFAULT '',
    internal_status     TEXT COLLATE "C",
    title               TEXT COLLATE "C",
    source              TEXT COLLATE "C" NOT NULL DEFAULT '',
    triggering_agent_id TEXT COLLATE "C",
    worker_id           TEXT COLLATE "C",
    started_at          BIGINT NOT NULL DEFAULT 0,
    paused_at           BIGINT NOT NULL DEFAULT 0,
    finished_at         BIGINT NOT NULL DEFAULT 0,
    attempt             BIGINT NOT NULL,
    execution_attempts  BIGINT NOT NULL,
    priority            BIGINT NOT NULL DEFAULT 0,
    run_at              BIGINT NOT NULL DEFAULT 0,
    manually_stopped    BIGINT NOT NULL DEFAULT 0,
    side                TEXT COLLATE "C" NOT NULL DEFAULT '{}', -- JSON: the rest of the state
    traceparent         TEXT COLLATE "C" NOT NULL DEFAULT '',
    -- whose it is, and where it stands in its tree
    owner               TEXT COLLATE "C" NOT NULL DEFAULT '',
    grp                 TEXT COLLATE "C" NOT NULL DEFAULT '',
    scoped              BIGINT NOT NULL DEFAULT 0, -- somebody sees by the owner
    root_id             TEXT COLLATE "C" NOT NULL DEFAULT '',
    depth               BIGINT NOT NULL DEFAULT 0,
    subtasks            BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (org, id)
);

CREATE INDEX tasks_queue   ON tasks (org, agent_id, pin, priority DESC, ready_at, id) WHERE queued = 1;
CREATE INDEX tasks_open    ON tasks (org, agent_id, created_at, id) WHERE ended = '';
CREATE INDEX tasks_alarm   ON tasks (org, alarm_at) WHERE alarm_at > 0;
CREATE INDEX tasks_created ON tasks (org, created_at, id);
CREATE INDEX tasks_agent   ON tasks (org, agent_id, created_at, id);
CREATE INDEX tasks_status  ON tasks (org, status, created_at, id);
CREATE INDEX tasks_user    ON tasks (org, user_id, created_at, id) WHERE user_id <> '';
CREATE INDEX tasks_parent  ON tasks (org, parent_id, created_at, id) WHERE parent_id <> '';
CREATE INDEX tasks_trigger ON tasks (org, triggering_agent_id, created_at, id) WHERE triggering_agent_id IS NOT NULL;
CREATE INDEX tasks_owner   ON tasks (org, owner, created_at, id) WHERE scoped = 1;
CREATE INDEX tasks_group   ON tasks (org, grp, created_at, id) WHERE grp <> '';
CREATE INDEX tasks_note    ON tasks (org, internal_status, created_at, id) WHERE internal_status IS NOT NULL;

-- What a turn was asked and what came of it, each stored once. A result that
-- an override put in the place of another does not replace it.
CREATE TABLE turns (
    org             TEXT COLLATE "C" NOT NULL,
    task            TEXT COLLATE "C" NOT NULL,
    n               BIGINT NOT NULL,
    spec            TEXT COLLATE "C" NOT NULL,
    result          TEXT COLLATE "C",
    shown_result    TEXT COLLATE "C", -- since an override; else null
    status          TEXT COLLATE "C" NOT NULL DEFAULT '',
    end_reason      TEXT COLLATE "C" NOT NULL DEFAULT '',
    attempts        BIGINT NOT NULL DEFAULT 0,
    tokens          TEXT COLLATE "C",
    started_at      BIGINT NOT NULL DEFAULT 0,
    finished_at     BIGINT NOT NULL DEFAULT 0,
    first_seq       BIGINT NOT NULL,
    last_seq        BIGINT NOT NULL,
    PRIMARY KEY (org, task, n)
);

CREATE TABLE attempts (
    org         TEXT COLLATE "C" NOT NULL,
    task        TEXT COLLATE "C" NOT NULL,
    number      BIGINT NOT NULL,
    turn        BIGINT NOT NULL,
    in_turn     BIGINT NOT NULL,
    fenced      BIGINT NOT NULL,
    worker_id   TEXT COLLATE "C" NOT NULL,
    token_hash  TEXT COLLATE "C" NOT NULL DEFAULT '',
    may_retry   BIGINT NOT NULL DEFAULT 0,
    assigned_at BIGINT NOT NULL,
    started_at  BIGINT NOT NULL DEFAULT 0,
    ended_at    BIGINT NOT NULL DEFAULT 0,
    outcome     TEXT COLLATE "C" NOT NULL DEFAULT '',
    let_go_at   BIGINT NOT NULL DEFAULT 0,
    lease_us    BIGINT NOT NULL,
    lease_until BIGINT NOT NULL DEFAULT 0,
    give_up_at  BIGINT NOT NULL DEFAULT 0,
    sent_after  BIGINT NOT NULL DEFAULT 0,
    reported    BIGINT NOT NULL DEFAULT 0,
    refused_event BIGINT NOT NULL DEFAULT 0,
    refused_end BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (org, task, number)
);

CREATE INDEX attempts_lease  ON attempts (org, lease_until) WHERE let_go_at = 0 AND lease_until > 0;
-- Attempts that a Python worker may still run (rule L9), and those whose end it
-- has not told (rule L6); the latter outlive their task.
CREATE INDEX attempts_worker ON attempts (org, worker_id) WHERE fenced = 0 AND let_go_at = 0;
CREATE INDEX attempts_untold ON attempts (org, worker_id) WHERE reported = 0;

CREATE TABLE events (
    org       TEXT COLLATE "C" NOT NULL,
    task      TEXT COLLATE "C" NOT NULL,
    seq       BIGINT NOT NULL,
    turn      BIGINT NOT NULL,
    type      TEXT COLLATE "C" NOT NULL,
    time      BIGINT NOT NULL,
    own       TEXT COLLATE "C" NOT NULL,
    client_id TEXT COLLATE "C",
    attempt   BIGINT NOT NULL DEFAULT 0, -- that wrote it,
    by_whom   TEXT COLLATE "C" NOT NULL DEFAULT '', -- or who did
    PRIMARY KEY (org, task, seq)
);

CREATE UNIQUE INDEX events_client ON events (org, task, turn, client_id) WHERE client_id IS NOT NULL;

CREATE TABLE secrets (
    org    TEXT COLLATE "C" NOT NULL,
    owner  TEXT COLLATE "C" NOT NULL, -- task or agent
    id     TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (org, owner, id)
);

CREATE TABLE replays (
    org     TEXT COLLATE "C" NOT NULL,
    route   TEXT COLLATE "C" NOT NULL,
    key     TEXT COLLATE "C" NOT NULL,
    hash    BYTEA NOT NULL,
    task    TEXT COLLATE "C" NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (org, route, key)
);

CREATE INDEX replays_at   ON replays (org, at);
CREATE INDEX replays_task ON replays (org, task);

CREATE TABLE workers (
    org           TEXT COLLATE "C" NOT NULL,
    id            TEXT COLLATE "C" NOT NULL,
    agent         TEXT COLLATE "C" NOT NULL,
    kind          TEXT COLLATE "C" NOT NULL,
    registered_at BIGINT NOT NULL,
    last_heard    BIGINT NOT NULL,
    connected     BIGINT NOT NULL,
    busy          BIGINT NOT NULL DEFAULT 0,
    held          BIGINT NOT NULL DEFAULT 0,
    key_id        TEXT COLLATE "C" NOT NULL DEFAULT '',
    address       TEXT COLLATE "C" NOT NULL DEFAULT '',
    last_beat     BIGINT NOT NULL DEFAULT 0,
    cut_at        BIGINT NOT NULL DEFAULT 0,
    heir_until    BIGINT NOT NULL DEFAULT 0,
    owner_in      TEXT COLLATE "C" NOT NULL DEFAULT '',
    heir_of       TEXT COLLATE "C" NOT NULL DEFAULT '',
    tally         TEXT COLLATE "C" NOT NULL DEFAULT '{}', -- JSON
    node          TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, id, agent)
);

CREATE INDEX workers_agent ON workers (org, agent, last_heard);
CREATE INDEX workers_kin   ON workers (org, agent, key_id, address, last_heard) WHERE kind = 'python';

-- What a Python worker has posted to say that an attempt is over: it repeats a
-- post whose answer it did not get, and each counts once (rule L6).
CREATE TABLE worker_posts (
    org    TEXT COLLATE "C" NOT NULL,
    worker TEXT COLLATE "C" NOT NULL,
    id     TEXT COLLATE "C" NOT NULL,
    at     BIGINT NOT NULL,
    PRIMARY KEY (org, worker, id)
);

CREATE INDEX worker_posts_at ON worker_posts (org, at);

CREATE TABLE files (
    org          TEXT COLLATE "C" NOT NULL,
    id           TEXT COLLATE "C" NOT NULL, -- SHA-256 of the content, hexadecimal
    size         BIGINT NOT NULL,
    content_type TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (org, id)
);

CREATE INDEX workers_node ON workers (node) WHERE kind = 'python';

-- Who has brought a file: its content may be brought more than once.
CREATE TABLE file_owners (
    org   TEXT COLLATE "C" NOT NULL,
    id    TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    grp   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, id, owner, grp)
);

CREATE TABLE nodes (
    id    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    heard BIGINT NOT NULL
);

-- When any node was last there: one row.
CREATE TABLE alive (
    one     BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    heard   BIGINT NOT NULL DEFAULT 0,
    renewed BIGINT NOT NULL DEFAULT 0,
    sweeper TEXT COLLATE "C" NOT NULL DEFAULT ''
);
INSERT INTO alive (one) VALUES (1);

-- The last commit of each writer of each node: one whose answer was lost is looked
-- up here.
CREATE TABLE writers (
    node        TEXT COLLATE "C" NOT NULL,
    n           BIGINT NOT NULL,
    last_commit BIGINT NOT NULL,
    born        BIGINT NOT NULL,
    PRIMARY KEY (node, n)
);

-- Changes of all tasks, in an order that never has anything appear behind what was
-- read: pos is the number of the transaction.
CREATE TABLE feed (
    pos       BIGINT NOT NULL,
    n         BIGINT NOT NULL, -- in the commit
    org       TEXT COLLATE "C" NOT NULL,
    task      TEXT COLLATE "C" NOT NULL,
    agent     TEXT COLLATE "C" NOT NULL,
    kind      BIGINT NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq  BIGINT NOT NULL,
    node      TEXT COLLATE "C" NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (org, pos, n)
);
CREATE INDEX feed_pos ON feed (pos, n);
CREATE INDEX feed_at  ON feed (at);
