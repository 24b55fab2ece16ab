-- +goose Up
-- What attempts have asked of people: which event asks, and which has answered, 0 for
-- none. Whose it is stands here as well, for lists.
CREATE TABLE approvals (
    org          TEXT NOT NULL,
    task         TEXT NOT NULL,
    seq          INTEGER NOT NULL,
    id           TEXT NOT NULL,
    turn         INTEGER NOT NULL,
    key          TEXT NOT NULL,
    state        TEXT NOT NULL,
    at           INTEGER NOT NULL,
    owner        TEXT NOT NULL,
    grp          TEXT NOT NULL,
    answered_seq INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (org, task, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX approvals_id    ON approvals (org, id);
CREATE UNIQUE INDEX approvals_key   ON approvals (org, task, turn, key);
CREATE INDEX        approvals_all   ON approvals (org, at, id);
CREATE INDEX        approvals_state ON approvals (org, state, at, id);
CREATE INDEX        approvals_owner ON approvals (org, owner, at, id);
CREATE INDEX        approvals_group ON approvals (org, grp, at, id) WHERE grp <> '';
