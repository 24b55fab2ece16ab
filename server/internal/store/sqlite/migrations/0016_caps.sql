-- +goose Up
-- What was spent for whom, by days: the ledger of caps.
CREATE TABLE usage (
    org    TEXT NOT NULL,
    kind   TEXT NOT NULL, -- owner, group, agent or key
    id     TEXT NOT NULL,
    day    INTEGER NOT NULL, -- its beginning, in UTC
    writer TEXT NOT NULL, -- each has rows of its own
    tokens INTEGER NOT NULL,
    cost   REAL NOT NULL,
    PRIMARY KEY (org, kind, id, day, writer)
) WITHOUT ROWID;
ALTER TABLE keys ADD COLUMN caps TEXT NOT NULL DEFAULT 'null';
ALTER TABLE tasks ADD COLUMN capped TEXT NOT NULL DEFAULT ''; -- the cap that holds it
CREATE INDEX tasks_capped ON tasks (org, capped, id) WHERE capped <> '';
