-- +goose Up
-- When a task's turn began, whether it outlives its parent's, and the last stop that
-- went on to what is below it.
ALTER TABLE tasks ADD COLUMN begun_at   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN keep       INTEGER NOT NULL DEFAULT 0; -- 1: on_parent_end is keep
ALTER TABLE tasks ADD COLUMN descent    TEXT NOT NULL DEFAULT ''; -- JSON
ALTER TABLE tasks ADD COLUMN descending INTEGER NOT NULL DEFAULT 0; -- 1: it is still on its way

CREATE INDEX tasks_below      ON tasks (org, parent_id, id) WHERE parent_id <> '' AND (ended = '' OR subtasks > 0);
CREATE INDEX tasks_descending ON tasks (org, id) WHERE descending = 1;

-- Deleted tasks of which something may be left.
CREATE TABLE graves (
    org  TEXT NOT NULL,
    task TEXT NOT NULL,
    PRIMARY KEY (org, task)
) WITHOUT ROWID;
