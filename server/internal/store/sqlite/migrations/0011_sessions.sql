-- +goose Up
-- Browsers that are signed in with a key: the hash of what they show in its place.
CREATE TABLE sessions (
    org    TEXT NOT NULL,
    hash   BLOB NOT NULL UNIQUE,
    key_id TEXT NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (org, hash)
) WITHOUT ROWID;
CREATE INDEX sessions_until ON sessions (until);
