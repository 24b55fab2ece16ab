package sqlite

// previous is a database as the release before the feed has left it, with tasks and
// their sub-tasks, agents, workers, keys and files: what sqlite3 says to .dump.
const previous = `PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE goose_db_version (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL,
		tstamp TIMESTAMP DEFAULT (datetime('now'))
	);
INSERT INTO goose_db_version VALUES(1,0,1,'2026-11-28 21:00:17');
INSERT INTO goose_db_version VALUES(2,1,1,'2026-11-28 21:00:17');
INSERT INTO goose_db_version VALUES(3,2,1,'2026-11-28 21:00:17');
CREATE TABLE organizations (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO organizations VALUES('o','O',1793534400000000);
INSERT INTO organizations VALUES('p','P',1793534400000000);
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
INSERT INTO keys VALUES('o','k-admin','admin','admin','[]',X'68617368206f662061646d696e',1,0);
INSERT INTO keys VALUES('o','k-old','old','user','[]',X'68617368206f66206f6c64',3,1793534430000000);
INSERT INTO keys VALUES('o','k-worker','worker','worker','["a","b"]',X'68617368206f6620776f726b6572',2,0);
CREATE TABLE agents (
    org        TEXT NOT NULL,
    id         TEXT NOT NULL,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) WITHOUT ROWID;
INSERT INTO agents VALUES('o','a',2,1793534430000000,1793534430000000);
CREATE TABLE agent_versions (
    org        TEXT NOT NULL,
    id         TEXT NOT NULL,
    version    INTEGER NOT NULL,
    record     TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org, id, version)
) WITHOUT ROWID;
INSERT INTO agent_versions VALUES('o','a',1,'{"name":"A","runtime":"worker"}',1793534430000000);
INSERT INTO agent_versions VALUES('o','a',2,'{"name":"B","runtime":"worker"}',1793534430000000);
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
    side                TEXT NOT NULL DEFAULT '{}', traceparent TEXT NOT NULL DEFAULT '', -- JSON: the rest of the state
    PRIMARY KEY (org, id)
) WITHOUT ROWID;
INSERT INTO tasks VALUES('o','below left','a',1793534416000000,1793534416000000,1,1,1,'left','','',0,3,0.0,'',0,1793534416000000,0,0,0,'',0,0,0,0,1,0,'pending','',NULL,NULL,'sdk',NULL,NULL,0,0,0,1,1,0,0,0,'{}','trace of below left');
INSERT INTO tasks VALUES('o','child','a',1793534407000000,1793534410000000,1,1,5,'root','','',0,3,0.0,'',1,1793534407000000,0,1793620809000000,0,'',0,0,0,0,0,1793620809000000,'executing','',NULL,NULL,'sdk',NULL,'py',1793534409000000,0,0,1,1,0,0,0,'{}','trace of child');
INSERT INTO tasks VALUES('o','child-2','a',1793534411000000,1793534412000000,1,1,3,'root','','',0,3,0.0,'',0,1793534411000000,0,0,0,'',0,0,0,0,0,0,'paused','',NULL,NULL,'sdk',NULL,NULL,0,1793534412000000,0,1,1,0,0,0,'{}','trace of child-2');
INSERT INTO tasks VALUES('o','grandchild','a',1793534413000000,1793534414000000,1,1,3,'child','','',0,3,0.0,'',1,1793534413000000,0,0,0,'',0,0,0,0,0,0,'executing','',NULL,NULL,'sdk',NULL,'w',1793534414000000,0,0,1,1,0,0,0,'{}','trace of grandchild');
INSERT INTO tasks VALUES('o','left','a',1793534415000000,1793534415000000,1,1,1,'deleted','','',0,3,0.0,'',0,1793534415000000,0,0,0,'',0,0,0,0,1,0,'pending','',NULL,NULL,'sdk',NULL,NULL,0,0,0,1,1,0,0,0,'{}','trace of left');
INSERT INTO tasks VALUES('o','over','a',1793534420000000,1793534424000000,2,6,6,'','','',0,3,0.0,'',0,1793534424000000,0,0,0,'',0,0,0,1,0,0,'pending','',NULL,NULL,'sdk',NULL,NULL,0,0,0,1,2,0,0,0,'{}','trace of over');
INSERT INTO tasks VALUES('o','ring-1','a',1793534417000000,1793534417000000,1,1,1,'ring-2','','',0,3,0.0,'',0,1793534417000000,0,0,0,'',0,0,0,0,1,0,'pending','',NULL,NULL,'sdk',NULL,NULL,0,0,0,1,1,0,0,0,'{}','trace of ring-1');
INSERT INTO tasks VALUES('o','ring-2','a',1793534418000000,1793534418000000,1,1,1,'ring-1','','',0,3,0.0,'',0,1793534418000000,0,0,0,'',0,0,0,0,1,0,'pending','',NULL,NULL,'sdk',NULL,NULL,0,0,0,1,1,0,0,0,'{}','trace of ring-2');
INSERT INTO tasks VALUES('o','root','a',1793534401000000,1793534406000000,2,6,6,'','','',0,3,0.0,'',0,1793534406000000,0,0,0,'',0,0,0,0,1,0,'pending','',NULL,NULL,'sdk',NULL,NULL,0,0,0,1,2,0,0,0,'{}','trace of root');
INSERT INTO tasks VALUES('o','stopped','a',1793534425000000,1793534427000000,1,1,5,'','','',0,3,0.0,'stopped',1,1793534425000000,0,0,1793534427000000,'p',0,0,1793534487000000,0,0,1793534487000000,'stopped','stopped',NULL,NULL,'sdk',NULL,'w',1793534426000000,0,1793534427000000,1,1,0,0,1,'{}','trace of stopped');
INSERT INTO tasks VALUES('p','child','a',1793534419000000,1793534419000000,1,1,1,'root','','',0,3,0.0,'',0,1793534419000000,0,0,0,'',0,0,0,0,1,0,'pending','',NULL,NULL,'sdk',NULL,NULL,0,0,0,1,1,0,0,0,'{}','trace of child');
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
INSERT INTO turns VALUES('o','root',1,'{"id":"root","agent_id":"a","organization_id":"o","turn":1,"input":{"text":"root","files":null,"user":null,"attachments":null,"principal":null},"created_at":"2026-11-01T12:00:01Z","agent_version":null,"parent_execution":null,"output_format":null,"output_schema":null,"events_streaming":false,"instructions_override":null,"user_oidc_token":null,"is_orchestration":false,"expected_output":null,"mcp_servers":null,"think_mode":"","user_tokens":null,"run_locally":false,"pinned_worker_id":null,"max_attempts":3,"timeout":0,"expires_in":0,"idempotency_key":null,"tags":null}','first','corrected','failed','failed',1,'{"completion_tokens":0,"prompt_tokens":3,"cache_read_tokens":0,"cache_write_tokens":0}',0,1793534404000000,1,4);
INSERT INTO turns VALUES('o','root',2,'{"id":"root","agent_id":"a","organization_id":"o","turn":2,"input":{"text":"root","files":null,"user":null,"attachments":null,"principal":null},"created_at":"2026-11-01T12:00:01Z","agent_version":null,"parent_execution":null,"output_format":null,"output_schema":null,"events_streaming":false,"instructions_override":null,"user_oidc_token":null,"is_orchestration":false,"expected_output":null,"mcp_servers":null,"think_mode":"","user_tokens":null,"run_locally":false,"pinned_worker_id":null,"max_attempts":3,"timeout":0,"expires_in":0,"idempotency_key":null,"tags":null}',NULL,NULL,'','',0,NULL,0,0,6,6);
INSERT INTO turns VALUES('o','child',1,'{"id":"child","agent_id":"a","organization_id":"o","turn":1,"input":{"text":"child","files":null,"user":null,"attachments":null,"principal":null},"created_at":"2026-11-01T12:00:07Z","agent_version":null,"parent_execution":"root","output_format":null,"output_schema":null,"events_streaming":false,"instructions_override":null,"user_oidc_token":null,"is_orchestration":false,"expected_output":null,"mcp_servers":null,"think_mode":"","user_tokens":null,"run_locally":false,"pinned_worker_id":null,"max_attempts":3,"timeout":0,"expires_in":0,"idempotency_key":null,"tags":null}',NULL,NULL,'','',0,NULL,0,0,1,1);
INSERT INTO turns VALUES('o','child-2',1,'{"id":"child-2","agent_id":"a","organization_id":"o","turn":1,"input":{"text":"child-2","files":null,"user":null,"attachments":null,"principal":null},"created_at":"2026-11-01T12:00:11Z","agent_version":null,"parent_execution":"root","output_format":null,"output_schema":null,"events_streaming":false,"instructions_override":null,"user_oidc_token":null,"is_orchestration":false,"expected_output":null,"mcp_servers":null,"think_mode":"","user_tokens":null,"run_locally":false,"pinned_worker_id":null,"max_attempts":3,"timeout":0,"expires_in":0,"idempotency_key":null,"tags":null}',NULL,NULL,'','',0,NULL,0,0,1,1);
INSERT INTO turns VALUES('o','grandchild',1,'{"id":"grandchild","agent_id":"a","organization_id":"o","turn":1,"input":{"text":"grandchild","files":null,"user":null,"attachments":null,"principal":null},"created_at":"2026-11-01T12:00:13Z","agent_version":null,"parent_execution":"child","output_format":null,"output_schema":null,"events_streaming":false,"instructions_override":null,"user_oidc_token":null,"is_orchestration":false,"expected_output":null,"mcp_servers":null,"think_mode":"","user_tokens":null,"run_locally":false,"pinned_worker_id":null,"max_attempts":3,"timeout":0,"expires_in":0,"idempotency_key":null,"tags":null}',NULL,NULL,'','',0,NULL,0,0,1,1);
INSERT INTO turns VALUES('o','left',1,'{"id":"left","agent_id":"a","organization_id":"o","turn":1,"input":{"text":"left","files":null,"user":null,"attachments":null,"principal":null},"created_at":"2026-11-01T12:00:15Z","agent_version":null,"parent_execution":"deleted","output_format":null,"output_schema":null,"events_streaming":false,"instructions_override":null,"user_oidc_token":null,"is_orchestration":false,"expected_output":null,"mcp_servers":null,"think_mode":"","user_tokens":null,"run_locally":false,"pinned_worker_id":null,"max_attempts":3,"timeout":0,"expires_in":0,"idempotency_key":null,"tags":null}',NULL,NULL,'','',0,NULL,0,0,1,1);
INSERT INTO turns VALUES('o','below left',1,'{"id":"below left","agent_id":"a","organization_id":"o","turn":1,"input":{"text":"below left","files":null,"user":null,"attachments":null,"principal":null},"created_at":"2026-11-01T12:00:16Z","agent_version":null,"parent_execution":"left","output_format":null,"output_schema":null,"events_streaming":false,"instructions_override":null,"user_oidc_token":null,"is_orchestration":false,"expected_output":null,"mcp_servers":null,"think_mode":"","user_tokens":null,"run_locally":false,"pinned_worker_id":null,"max_attempts":3,"timeout":0,"expires_in":0,"idempotency_key":null,"tags":null}',NULL,NULL,'','',0,NULL,0,0,1,1);
INSERT INTO turns VALUES('o','ring-1',1,'{"id":"ring-1","agent_id":"a","organization_id":"o","turn":1,"input":{"text":"ring-1","files":null,"user":null,"attachments":null,"principal":null},"created_at":"2026-11-01T12:00:17Z","agent_version":null,"parent_execution":"ring-2","output_format":null,"output_schema":null,"events_streaming":false,"instructions_override":null,"user_oidc_token":null,"is_orchestration":false,"expected_output":null,"mcp_servers":null,"think_mode":"","user_tokens":null,"run_locally":false,"pinned_worker_id":null,"max_attempts":3,"timeout":0,"expires_in":0,"idempotency_key":null,"tags":null}',NULL,NULL,'','',0,NULL,0,0,1,1);
INSERT INTO turns VALUES('o','ring-2',1,'{"id":"ring-2","agent_id":"a","organization_id":"o","turn":1,"input":{"text":"ring-2","files":null,"user":null,"attachments":null,"principal":null},"created_at":"2026-11-01T12:00:18Z","agent_version":null,"parent_execution":"ring-1","output_format":null,"output_schema":null,"events_streaming":false,"instructions_override":null,"user_oidc_token":null,"is_orchestration":false,"expected_output":null,"mcp_servers":null,"think_mode":"","user_tokens":null,"run_locally":false,"pinned_worker_id":null,"max_attempts":3,"timeout":0,"expires_in":0,"idempotency_key":null,"tags":null}',NULL,NULL,'','',0,NULL,0,0,1,1);
INSERT INTO turns VALUES('p','child',1,'{"id":"child","agent_id":"a","organization_id":"p","turn":1,"input":{"text":"child","files":null,"user":null,"attachments":null,"principal":null},"created_at":"2026-11-01T12:00:19Z","agent_version":null,"parent_execution":"root","output_format":null,"output_schema":null,"events_streaming":false,"instructions_override":null,"user_oidc_token":null,"is_orchestration":false,"expected_output":null,"mcp_servers":null,"think_mode":"","user_tokens":null,"run_locally":false,"pinned_worker_id":null,"max_attempts":3,"timeout":0,"expires_in":0,"idempotency_key":null,"tags":null}',NULL,NULL,'','',0,NULL,0,0,1,1);
INSERT INTO turns VALUES('o','over',1,'{"id":"over","agent_id":"a","organization_id":"o","turn":1,"input":{"text":"over","files":null,"user":null,"attachments":null,"principal":null},"created_at":"2026-11-01T12:00:20Z","agent_version":null,"parent_execution":null,"output_format":null,"output_schema":null,"events_streaming":false,"instructions_override":null,"user_oidc_token":null,"is_orchestration":false,"expected_output":null,"mcp_servers":null,"think_mode":"","user_tokens":null,"run_locally":false,"pinned_worker_id":null,"max_attempts":3,"timeout":0,"expires_in":0,"idempotency_key":null,"tags":null}','r',NULL,'failed','failed',1,NULL,1793534422000000,1793534423000000,1,5);
INSERT INTO turns VALUES('o','over',2,'{"id":"over","agent_id":"a","organization_id":"o","turn":2,"input":{"text":"over","files":null,"user":null,"attachments":null,"principal":null},"created_at":"2026-11-01T12:00:20Z","agent_version":null,"parent_execution":null,"output_format":null,"output_schema":null,"events_streaming":false,"instructions_override":null,"user_oidc_token":null,"is_orchestration":false,"expected_output":null,"mcp_servers":null,"think_mode":"","user_tokens":null,"run_locally":false,"pinned_worker_id":null,"max_attempts":3,"timeout":0,"expires_in":0,"idempotency_key":null,"tags":null}',NULL,NULL,'','',0,NULL,0,0,6,6);
INSERT INTO turns VALUES('o','stopped',1,'{"id":"stopped","agent_id":"a","organization_id":"o","turn":1,"input":{"text":"stopped","files":null,"user":null,"attachments":null,"principal":null},"created_at":"2026-11-01T12:00:25Z","agent_version":null,"parent_execution":null,"output_format":null,"output_schema":null,"events_streaming":false,"instructions_override":null,"user_oidc_token":null,"is_orchestration":false,"expected_output":null,"mcp_servers":null,"think_mode":"","user_tokens":null,"run_locally":false,"pinned_worker_id":null,"max_attempts":3,"timeout":0,"expires_in":0,"idempotency_key":null,"tags":null}',NULL,NULL,'stopped','stopped',1,NULL,1793534426000000,1793534427000000,1,5);
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
INSERT INTO attempts VALUES('o','child',1,1,1,0,'py','',0,1793534408000000,1793534409000000,0,'',0,60000000,1793534469000000,1793620809000000,0,0,0,0);
INSERT INTO attempts VALUES('o','gone',1,1,1,0,'py','',0,1793534429000000,1793534430000000,1793534430000000,'',0,60000000,1793534490000000,1793620830000000,1,0,0,0);
INSERT INTO attempts VALUES('o','grandchild',1,1,1,1,'w','hash',0,1793534414000000,1793534414000000,0,'',0,60000000,1793534474000000,0,0,1,0,0);
INSERT INTO attempts VALUES('o','over',1,1,1,0,'py','',0,1793534421000000,1793534422000000,1793534423000000,'overruled',0,60000000,1793534482000000,1793620822000000,0,0,0,0);
INSERT INTO attempts VALUES('o','stopped',1,1,1,1,'w','hash 2',0,1793534426000000,1793534426000000,0,'',0,60000000,1793534486000000,0,0,1,0,0);
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
INSERT INTO events VALUES('o','below left',1,1,'task_created',1793534416000000,'{"status":"pending","source":"sdk","attempt":1,"execution_attempts":1}',NULL);
INSERT INTO events VALUES('o','child',1,1,'task_created',1793534407000000,'{"status":"pending","source":"sdk","attempt":1,"execution_attempts":1}',NULL);
INSERT INTO events VALUES('o','child',2,1,'task_updated',1793534408000000,'{"worker_id":"py"}',NULL);
INSERT INTO events VALUES('o','child',3,1,'attempt_started',1793534409000000,'{"attempt":1,"execution_attempt":1,"worker_id":"py"}',NULL);
INSERT INTO events VALUES('o','child',4,1,'task_updated',1793534409000000,'{"status":"executing","started_at":"2026-11-01T12:00:09Z"}',NULL);
INSERT INTO events VALUES('o','child',5,1,'chunk',1793534410000000,'{"a":1,"a":2}','c');
INSERT INTO events VALUES('o','child-2',1,1,'task_created',1793534411000000,'{"status":"pending","source":"sdk","attempt":1,"execution_attempts":1}',NULL);
INSERT INTO events VALUES('o','child-2',2,1,'paused',1793534412000000,'{"by":"p"}',NULL);
INSERT INTO events VALUES('o','child-2',3,1,'task_updated',1793534412000000,'{"status":"paused","paused_at":"2026-11-01T12:00:12Z"}',NULL);
INSERT INTO events VALUES('o','grandchild',1,1,'task_created',1793534413000000,'{"status":"pending","source":"sdk","attempt":1,"execution_attempts":1}',NULL);
INSERT INTO events VALUES('o','grandchild',2,1,'attempt_started',1793534414000000,'{"attempt":1,"execution_attempt":1,"worker_id":"w"}',NULL);
INSERT INTO events VALUES('o','grandchild',3,1,'task_updated',1793534414000000,'{"status":"executing","started_at":"2026-11-01T12:00:14Z","worker_id":"w"}',NULL);
INSERT INTO events VALUES('o','left',1,1,'task_created',1793534415000000,'{"status":"pending","source":"sdk","attempt":1,"execution_attempts":1}',NULL);
INSERT INTO events VALUES('o','over',1,1,'task_created',1793534420000000,'{"status":"pending","source":"sdk","attempt":1,"execution_attempts":1}',NULL);
INSERT INTO events VALUES('o','over',2,1,'task_updated',1793534421000000,'{"worker_id":"py"}',NULL);
INSERT INTO events VALUES('o','over',3,1,'attempt_started',1793534422000000,'{"attempt":1,"execution_attempt":1,"worker_id":"py"}',NULL);
INSERT INTO events VALUES('o','over',4,1,'task_updated',1793534422000000,'{"status":"executing","started_at":"2026-11-01T12:00:22Z"}',NULL);
INSERT INTO events VALUES('o','over',5,1,'task_finished',1793534423000000,'{"status":"failed","end_reason":"failed","finished_at":"2026-11-01T12:00:23Z"}',NULL);
INSERT INTO events VALUES('o','over',6,2,'task_created',1793534424000000,'{"status":"pending","source":"sdk","attempt":1,"execution_attempts":2}',NULL);
INSERT INTO events VALUES('o','ring-1',1,1,'task_created',1793534417000000,'{"status":"pending","source":"sdk","attempt":1,"execution_attempts":1}',NULL);
INSERT INTO events VALUES('o','ring-2',1,1,'task_created',1793534418000000,'{"status":"pending","source":"sdk","attempt":1,"execution_attempts":1}',NULL);
INSERT INTO events VALUES('o','root',1,1,'task_created',1793534401000000,'{"status":"pending","source":"sdk","attempt":1,"execution_attempts":1}',NULL);
INSERT INTO events VALUES('o','root',2,1,'task_updated',1793534402000000,'{"sub_executions":["child"]}',NULL);
INSERT INTO events VALUES('o','root',3,1,'task_updated',1793534403000000,'{"sub_executions":["child","child-2"]}',NULL);
INSERT INTO events VALUES('o','root',4,1,'task_finished',1793534404000000,'{"status":"failed","end_reason":"failed","finished_at":"2026-11-01T12:00:04Z","tokens":{"completion_tokens":0,"prompt_tokens":3,"cache_read_tokens":0,"cache_write_tokens":0}}',NULL);
INSERT INTO events VALUES('o','root',5,1,'override',1793534405000000,'{"status":"completed","end_reason":"completed","result":"corrected","by":"p"}',NULL);
INSERT INTO events VALUES('o','root',6,2,'task_created',1793534406000000,'{"status":"pending","source":"sdk","attempt":1,"execution_attempts":2}',NULL);
INSERT INTO events VALUES('o','stopped',1,1,'task_created',1793534425000000,'{"status":"pending","source":"sdk","attempt":1,"execution_attempts":1}',NULL);
INSERT INTO events VALUES('o','stopped',2,1,'attempt_started',1793534426000000,'{"attempt":1,"execution_attempt":1,"worker_id":"w"}',NULL);
INSERT INTO events VALUES('o','stopped',3,1,'task_updated',1793534426000000,'{"status":"executing","started_at":"2026-11-01T12:00:26Z","worker_id":"w"}',NULL);
INSERT INTO events VALUES('o','stopped',4,1,'stop_requested',1793534427000000,'{"by":"p"}',NULL);
INSERT INTO events VALUES('o','stopped',5,1,'task_finished',1793534427000000,'{"status":"stopped","end_reason":"stopped","finished_at":"2026-11-01T12:00:27Z","is_manually_stopped":true}',NULL);
INSERT INTO events VALUES('p','child',1,1,'task_created',1793534419000000,'{"status":"pending","source":"sdk","attempt":1,"execution_attempts":1}',NULL);
CREATE TABLE secrets (
    org    TEXT NOT NULL,
    owner  TEXT NOT NULL, -- task or agent
    id     TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (org, owner, id)
);
INSERT INTO secrets VALUES('o','task','root',X'0001');
INSERT INTO secrets VALUES('o','agent','a',X'02');
CREATE TABLE replays (
    org     TEXT NOT NULL,
    route   TEXT NOT NULL,
    key     TEXT NOT NULL,
    hash    BLOB NOT NULL,
    task    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (org, route, key)
) WITHOUT ROWID;
INSERT INTO replays VALUES('o','create','key',X'0300','root',1793534430000000);
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
INSERT INTO workers VALUES('o','py','a','python',5,1793534430000000,1,1,0,'k','10.0.0.1',7,0,0,'','','{"posts":2,"reports":1,"doubts":[{"post":2,"missing":1}]}');
INSERT INTO workers VALUES('o','w','a','fenced',6,1793534430000000,0,0,0,'','',0,0,0,'','','{}');
CREATE TABLE worker_posts (
    org    TEXT NOT NULL,
    worker TEXT NOT NULL,
    id     TEXT NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (org, worker, id)
) WITHOUT ROWID;
INSERT INTO worker_posts VALUES('o','py','post',1793534430000000);
CREATE TABLE files (
    org          TEXT NOT NULL,
    id           TEXT NOT NULL, -- SHA-256 of the content, hexadecimal
    size         INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) WITHOUT ROWID;
INSERT INTO files VALUES('o','f',4,'text/plain',1793534430000000);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('goose_db_version',3);
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
CREATE INDEX attempts_lease  ON attempts (org, lease_until) WHERE let_go_at = 0 AND lease_until > 0;
CREATE INDEX attempts_worker ON attempts (org, worker_id) WHERE fenced = 0 AND let_go_at = 0;
CREATE INDEX attempts_untold ON attempts (org, worker_id) WHERE reported = 0;
CREATE UNIQUE INDEX events_client ON events (org, task, turn, client_id) WHERE client_id IS NOT NULL;
CREATE INDEX replays_at   ON replays (org, at);
CREATE INDEX replays_task ON replays (org, task);
CREATE INDEX workers_agent ON workers (org, agent, last_heard);
CREATE INDEX workers_kin   ON workers (org, agent, key_id, address, last_heard) WHERE kind = 'python';
CREATE INDEX worker_posts_at ON worker_posts (org, at);
COMMIT;
`
