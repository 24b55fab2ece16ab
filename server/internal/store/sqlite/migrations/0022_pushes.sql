-- +goose Up
-- Addresses to which the updates of a turn are posted. headers are sealed; taken is the place
-- of the last update that was taken, twice the number of its event or less; due is when the
-- next one may be posted, 0 when nothing more is.
CREATE TABLE pushes (
    org       TEXT NOT NULL,
    task      TEXT NOT NULL,
    turn      INTEGER NOT NULL,
    id        TEXT NOT NULL,
    put_at    INTEGER NOT NULL,
    url       TEXT NOT NULL,
    target    TEXT NOT NULL,
    headers   BLOB,
    first_seq INTEGER NOT NULL,
    since_seq INTEGER NOT NULL,
    taken     INTEGER NOT NULL,
    due       INTEGER NOT NULL,
    failures  INTEGER NOT NULL,
    failed_at INTEGER NOT NULL,
    failure   TEXT NOT NULL,
    PRIMARY KEY (org, task, turn, id)
) WITHOUT ROWID;
CREATE INDEX pushes_due ON pushes (due) WHERE due > 0;
