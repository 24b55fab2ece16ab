-- +goose Up
-- The files that attempts have written, but for those that were replaced: which event
-- tells of each.
CREATE TABLE outputs (
    org  TEXT NOT NULL,
    task TEXT NOT NULL,
    seq  INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    name TEXT NOT NULL,
    file TEXT NOT NULL, -- its id
    PRIMARY KEY (org, task, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX outputs_name ON outputs (org, task, turn, name);

-- Whether a task was given the file that it uses, or has only written it.
ALTER TABLE file_uses ADD COLUMN given INTEGER NOT NULL DEFAULT 1;
