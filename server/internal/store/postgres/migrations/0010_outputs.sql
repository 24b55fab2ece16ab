-- +goose Up
-- The files that attempts have written, but for those that were replaced: which event
-- tells of each.
CREATE TABLE outputs (
    org  TEXT COLLATE "C" NOT NULL,
    task TEXT COLLATE "C" NOT NULL,
    seq  BIGINT NOT NULL,
    turn BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    file TEXT COLLATE "C" NOT NULL, -- its id
    PRIMARY KEY (org, task, seq)
);
CREATE UNIQUE INDEX outputs_name ON outputs (org, task, turn, name);

-- Whether a task was given the file that it uses, or has only written it.
ALTER TABLE file_uses ADD COLUMN given BIGINT NOT NULL DEFAULT 1;
