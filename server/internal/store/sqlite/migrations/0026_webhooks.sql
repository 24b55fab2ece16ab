-- +goose Up
-- Addresses that are told of all tasks of an organization, an owner or a group. types and
-- agents are lists, which are empty for all; secret is sealed; pos and n are behind which entry
-- of the feed it is yet to be told.
CREATE TABLE webhooks (
    org        TEXT NOT NULL,
    id         TEXT NOT NULL,
    owner      TEXT NOT NULL,
    grp        TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    url        TEXT NOT NULL,
    target     TEXT NOT NULL,
    types      TEXT NOT NULL,
    agents     TEXT NOT NULL,
    secret     BLOB,
    enabled    INTEGER NOT NULL,
    pos        INTEGER NOT NULL,
    n          INTEGER NOT NULL,
    taken_at   INTEGER NOT NULL,
    failures   INTEGER NOT NULL,
    failed_at  INTEGER NOT NULL,
    failure    TEXT NOT NULL,
    PRIMARY KEY (org, id)
) WITHOUT ROWID;
CREATE INDEX webhooks_enabled ON webhooks (pos, n) WHERE enabled = 1;
-- Of a push the webhook for which it was made, '' for none.
ALTER TABLE pushes ADD COLUMN webhook TEXT NOT NULL DEFAULT '';
