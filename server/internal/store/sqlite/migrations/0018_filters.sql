-- +goose Up
-- What lists are narrowed by, as package task tells it: whether a person is asked
-- something and until when, what a task waits for, and its tags.
ALTER TABLE tasks ADD COLUMN asks        INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN asked_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN standing    TEXT NOT NULL DEFAULT '';

UPDATE tasks SET asks = 1, asked_until = COALESCE((SELECT min(json_extract(o.value, '$.until')) FROM json_each(tasks.side, '$.open') o), 0)
    WHERE ended = '' AND json_array_length(side, '$.open') > 0;
UPDATE tasks SET standing = CASE
        WHEN json_extract(side, '$.wait.cause') <> '' AND COALESCE(json_extract(side, '$.wait.held'), 0) = 0 THEN json_extract(side, '$.wait.cause')
        WHEN json_extract(side, '$.account.held') = 1 THEN 'budget'
        WHEN status = 'paused' THEN 'paused'
        WHEN queued = 1 AND json_extract(side, '$.again.why') <> '' THEN 'retry'
        WHEN queued = 1 THEN 'queued'
        WHEN run_locally = 1 THEN 'run_locally'
        WHEN holdover > 0 THEN 'earlier_attempt'
        ELSE 'assigned' END
    WHERE ended = '' AND status IN ('pending', 'paused');

CREATE INDEX tasks_asks     ON tasks (org, created_at, id) WHERE asks = 1;
CREATE INDEX tasks_standing ON tasks (org, standing, created_at, id) WHERE standing <> '';
CREATE INDEX tasks_roots    ON tasks (org, created_at, id) WHERE parent_id = '';

-- Workers: how many slots one has, and whose attempts were lost.
ALTER TABLE workers ADD COLUMN slots INTEGER NOT NULL DEFAULT 0;
CREATE INDEX attempts_lost ON attempts (org, ended_at) WHERE outcome = 'lost';

CREATE TABLE tags (
    org        TEXT NOT NULL,
    tag        TEXT NOT NULL,
    created_at INTEGER NOT NULL, -- of the task
    task       TEXT NOT NULL,
    PRIMARY KEY (org, tag, created_at, task)
) WITHOUT ROWID;
CREATE INDEX tags_task ON tags (org, task);
INSERT OR IGNORE INTO tags (org, tag, created_at, task)
    SELECT t.org, g.value, t.created_at, t.id FROM tasks t JOIN turns u ON u.org = t.org AND u.task = t.id AND u.n = t.turn, json_each(u.spec, '$.tags') g;
