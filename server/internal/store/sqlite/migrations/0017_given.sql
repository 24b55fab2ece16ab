-- +goose Up
-- What attempts have given their agents of the files of a turn: which event tells of
-- each.
CREATE TABLE given_files (
    org  TEXT NOT NULL,
    task TEXT NOT NULL,
    seq  INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    n    INTEGER NOT NULL, -- the file's place among those of the turn
    PRIMARY KEY (org, task, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX given_files_n ON given_files (org, task, turn, n);
