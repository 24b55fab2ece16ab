-- +goose Up
-- What was spent for whom, by days: the ledger of caps.
CREATE TABLE usage (
    org    TEXT COLLATE "C" NOT NULL,
    kind   TEXT COLLATE "C" NOT NULL, -- owner, group, agent or key
    id     TEXT COLLATE "C" NOT NULL,
    day    BIGINT NOT NULL, -- its beginning, in UTC
    writer TEXT COLLATE "C" NOT NULL, -- each has rows of its own
    tokens BIGINT NOT NULL,
    cost   DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (org, kind, id, day, writer)
);
ALTER TABLE keys ADD COLUMN caps TEXT COLLATE "C" NOT NULL DEFAULT 'null';
ALTER TABLE tasks ADD COLUMN capped TEXT COLLATE "C" NOT NULL DEFAULT ''; -- the cap that holds it
CREATE INDEX tasks_capped ON tasks (org, capped, id) WHERE capped <> '';
