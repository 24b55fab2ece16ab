-- +goose Up
-- What has happened to tasks, summed up by minutes, quarters of an hour and hours: see
-- package stats.
CREATE TABLE stats (
    org    TEXT NOT NULL,
    scope  TEXT NOT NULL, -- of all, of an owner or of a group
    span   INTEGER NOT NULL, -- microseconds
    at     INTEGER NOT NULL, -- when it begins
    agent  TEXT NOT NULL,
    model  TEXT NOT NULL,
    what   TEXT NOT NULL,
    writer TEXT NOT NULL, -- each has rows of its own
    n      REAL NOT NULL,
    PRIMARY KEY (org, scope, span, at, agent, model, what, writer)
) WITHOUT ROWID;
CREATE INDEX stats_old ON stats (span, at);
