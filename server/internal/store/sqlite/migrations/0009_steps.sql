-- +goose Up
-- What attempts have committed of a turn's work, for its later attempts: which event
-- holds it. A task counts those of its present turn.
ALTER TABLE tasks ADD COLUMN steps INTEGER NOT NULL DEFAULT 0;
CREATE TABLE steps (
    org  TEXT NOT NULL,
    task TEXT NOT NULL,
    seq  INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    id   TEXT NOT NULL,
    PRIMARY KEY (org, task, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX steps_id   ON steps (org, task, turn, id);
CREATE INDEX        steps_turn ON steps (org, task, turn, seq);
