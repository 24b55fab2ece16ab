-- +goose Up
-- Whether the present turn of a task has secrets: they go when it has ended and been
-- let go. Those that have outlived that go now.
DELETE FROM secrets WHERE owner = 'task' AND NOT EXISTS (
    SELECT 1 FROM tasks t WHERE t.org = secrets.org AND t.id = secrets.id AND (t.ended = '' OR EXISTS (
        SELECT 1 FROM attempts a WHERE a.org = t.org AND a.task = t.id AND a.let_go_at = 0)));
ALTER TABLE tasks ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;
UPDATE tasks SET sealed = 1 WHERE (org, id) IN (SELECT org, id FROM secrets WHERE owner = 'task');
