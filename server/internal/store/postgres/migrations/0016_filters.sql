-- What lists are narrowed by, as package task tells it: whether a person is asked
-- something and until when, what a task waits for, and its tags.
ALTER TABLE tasks ADD COLUMN asks        BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN asked_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN standing    TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Not all that is stored is what the database calls JSON: it takes no U+0000. Of such a
-- task the next change tells. The function stands in the schema, since not everybody
-- may make what is temporary.
CREATE FUNCTION errand_found(stored TEXT, place TEXT[]) RETURNS TEXT LANGUAGE plpgsql AS $$
BEGIN
    RETURN stored::json #>> place;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

UPDATE tasks SET asks = 1, asked_until = COALESCE((
        SELECT min((extract(epoch FROM (o.value->>'until')::timestamptz) * 1000000)::bigint)
        FROM json_array_elements(errand_found(side, '{open}')::json) o), 0)
    WHERE ended = '' AND errand_found(side, '{open,0}') IS NOT NULL;
UPDATE tasks SET standing = CASE
        WHEN errand_found(side, '{wait,cause}') <> '' AND COALESCE(errand_found(side, '{wait,held}'), '') <> 'true' THEN errand_found(side, '{wait,cause}')
        WHEN errand_found(side, '{account,held}') = 'true' THEN 'budget'
        WHEN status = 'paused' THEN 'paused'
        WHEN queued = 1 AND errand_found(side, '{again,why}') <> '' THEN 'retry'
        WHEN queued = 1 THEN 'queued'
        WHEN run_locally = 1 THEN 'run_locally'
        WHEN holdover > 0 THEN 'earlier_attempt'
        ELSE 'assigned' END
    WHERE ended = '' AND status IN ('pending', 'paused');
DROP FUNCTION errand_found(TEXT, TEXT[]);

CREATE INDEX tasks_asks     ON tasks (org, created_at, id) WHERE asks = 1;
CREATE INDEX tasks_standing ON tasks (org, standing, created_at, id) WHERE standing <> '';
CREATE INDEX tasks_roots    ON tasks (org, created_at, id) WHERE parent_id = '';

-- Workers: how many slots one has, and whose attempts were lost.
ALTER TABLE workers ADD COLUMN slots BIGINT NOT NULL DEFAULT 0;
CREATE INDEX attempts_lost ON attempts (org, ended_at) WHERE outcome = 'lost';

CREATE TABLE tags (
    org        TEXT COLLATE "C" NOT NULL,
    tag        TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL, -- of the task
    task       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, tag, created_at, task)
);
CREATE INDEX tags_task ON tags (org, task);
INSERT INTO tags (org, tag, created_at, task)
    SELECT t.org, g.value, t.created_at, t.id FROM tasks t JOIN turns u ON u.org = t.org AND u.task = t.id AND u.n = t.turn,
        json_array_elements_text(COALESCE(substring(u.spec from '"tags":(\[(?:"(?:[^"\\]|\\.)*",?)*\])\}$'), '[]')::json) g (value)
    ON CONFLICT DO NOTHING;
