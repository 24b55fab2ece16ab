-- +goose Up
-- What attempts have given their agents of the files of a turn: which event tells of
-- each.
CREATE TABLE given_files (
    org  TEXT COLLATE "C" NOT NULL,
    task TEXT COLLATE "C" NOT NULL,
    seq  BIGINT NOT NULL,
    turn BIGINT NOT NULL,
    n    BIGINT NOT NULL, -- the file's place among those of the turn
    PRIMARY KEY (org, task, seq)
);
CREATE UNIQUE INDEX given_files_n ON given_files (org, task, turn, n);
