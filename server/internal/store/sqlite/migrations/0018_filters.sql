-- +goose Up
-- What lists are narrowed by, as package task tells it: whether a person is asked
-- something and until when, what a task waits for, and its tags.
ALTER TABLE tasks ADD COLUMN asks        INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN asked_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN standing    TEXT NOT NULL DEFAULT '';

-- Not all that is stored is what the database calls JSON: it reads a thousand levels. Of
-- such a task the next change tells.
CREATE TEMPORARY TABLE readable AS
    SELECT org, id, side FROM tasks WHERE ended = '' AND side <> '{}' AND json_valid(side);
CREATE UNIQUE INDEX temp.readable_id ON readable (org, id);

-- Moments stand there as texts, of which strftime would round what is below a second.
UPDATE tasks SET asks = 1, asked_until = COALESCE((
        SELECT min(strftime('%s', substr(m.until, 1, 19)) * 1000000 + substr(rtrim(substr(m.until, 21), 'Z') || '000000', 1, 6))
        FROM (SELECT json_extract(o.value, '$.until') AS until FROM json_each(r.side, '$.open') o) m), 0)
    FROM readable r WHERE r.org = tasks.org AND r.id = tasks.id AND json_array_length(r.side, '$.open') > 0;
UPDATE tasks SET standing = CASE
        WHEN status = 'paused' THEN 'paused'
        WHEN queued = 1 THEN 'queued'
        WHEN run_locally = 1 THEN 'run_locally'
        WHEN holdover > 0 THEN 'earlier_attempt'
        ELSE 'assigned' END
    WHERE ended = '' AND status IN ('pending', 'paused');
UPDATE tasks SET standing = CASE
        WHEN json_extract(r.side, '$.wait.cause') <> '' AND COALESCE(json_extract(r.side, '$.wait.held'), 0) = 0 THEN json_extract(r.side, '$.wait.cause')
        WHEN json_extract(r.side, '$.account.held') = 1 THEN 'budget'
        WHEN standing = 'queued' AND json_extract(r.side, '$.again.why') <> '' THEN 'retry'
        ELSE standing END
    FROM readable r WHERE r.org = tasks.org AND r.id = tasks.id AND tasks.standing <> '';
DROP TABLE readable;

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
    SELECT t.org, g.value, t.created_at, t.id FROM tasks t JOIN turns u ON u.org = t.org AND u.task = t.id AND u.n = t.turn,
        json_each(CASE WHEN json_valid(u.spec) THEN u.spec ELSE '{}' END, '$.tags') g;
