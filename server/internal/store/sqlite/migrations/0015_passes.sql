-- +goose Up
-- Texts that stand for a key in part: with a task they read that task, without one they
-- sign a browser in once. Of the text there is the hash alone.
CREATE TABLE passes (
    org        TEXT NOT NULL,
    hash       BLOB NOT NULL UNIQUE,
    id         TEXT NOT NULL,
    key_id     TEXT NOT NULL,
    task       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    until      INTEGER NOT NULL,
    PRIMARY KEY (org, task, id)
) WITHOUT ROWID;
CREATE INDEX passes_until ON passes (until);
