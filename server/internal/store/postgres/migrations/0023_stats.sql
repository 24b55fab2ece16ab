-- +goose Up
-- What has happened to tasks, summed up by minutes, quarters of an hour and hours: see
-- package stats.
CREATE TABLE stats (
    org    TEXT COLLATE "C" NOT NULL,
    scope  TEXT COLLATE "C" NOT NULL, -- of all, of an owner or of a group
    span   BIGINT NOT NULL, -- microseconds
    at     BIGINT NOT NULL, -- when it begins
    agent  TEXT COLLATE "C" NOT NULL,
    model  TEXT COLLATE "C" NOT NULL,
    what   TEXT COLLATE "C" NOT NULL,
    writer TEXT COLLATE "C" NOT NULL, -- each has rows of its own
    n      DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (org, scope, span, at, agent, model, what, writer)
);
CREATE INDEX stats_old ON stats (span, at);
