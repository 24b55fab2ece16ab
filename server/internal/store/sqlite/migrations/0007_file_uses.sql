-- +goose Up
-- Which task uses which file, and whose the task is. A file that tasks have used is
-- erased a day after the last of them was deleted.
CREATE TABLE file_uses (
    org   TEXT NOT NULL,
    id    TEXT NOT NULL, -- of the file
    task  TEXT NOT NULL,
    owner TEXT NOT NULL,
    grp   TEXT NOT NULL,
    PRIMARY KEY (org, id, task)
) WITHOUT ROWID;
CREATE INDEX file_uses_task ON file_uses (org, task);

-- What a file was called when it was brought, when that was first, and when a task
-- that used it was last deleted. A file has a row here for as long as it is kept:
-- one of a time before owners was brought by nobody.
ALTER TABLE file_owners ADD COLUMN name    TEXT NOT NULL DEFAULT 'file';
ALTER TABLE file_owners ADD COLUMN at      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE file_owners ADD COLUMN left_at INTEGER NOT NULL DEFAULT 0;
UPDATE file_owners SET at = (SELECT f.created_at FROM files f WHERE f.org = file_owners.org AND f.id = file_owners.id);
INSERT INTO file_owners (org, id, owner, grp, at)
    SELECT org, id, '', '', created_at FROM files f WHERE NOT EXISTS (SELECT 1 FROM file_owners o WHERE o.org = f.org AND o.id = f.id);
CREATE INDEX file_owners_at    ON file_owners (org, at, id);
CREATE INDEX file_owners_owner ON file_owners (org, owner, at, id);
CREATE INDEX file_owners_group ON file_owners (org, grp, at, id) WHERE grp <> '';
CREATE INDEX file_owners_left  ON file_owners (org, left_at) WHERE left_at > 0;
CREATE INDEX files_id          ON files (id);

-- What the tasks that are there refer to, "file:<id>/<name>". An older file that none
-- refers to may never have been used: it stays. A spec of more than a thousand levels is
-- no JSON to the database.
CREATE TEMPORARY TABLE refs AS
    SELECT u.org, u.task, j.value AS ref FROM turns u, json_each(CASE WHEN json_valid(u.spec) THEN u.spec ELSE '{}' END, '$.input.files') j
    WHERE instr(u.spec, '"file:') > 0 AND j.value LIKE 'file:%'
    UNION
    SELECT u.org, u.task, json_extract(j.value, '$.url') FROM turns u, json_each(CASE WHEN json_valid(u.spec) THEN u.spec ELSE '{}' END, '$.input.attachments') j
    WHERE instr(u.spec, '"file:') > 0 AND j.type = 'object' AND json_extract(j.value, '$.url') LIKE 'file:%';
INSERT INTO file_uses (org, id, task, owner, grp)
    SELECT DISTINCT t.org, f.id, t.id, t.owner, t.grp FROM refs r JOIN tasks t ON t.org = r.org AND t.id = r.task
    JOIN files f ON f.org = r.org AND f.id = substr(r.ref, 6, 64);
UPDATE file_owners SET name = substr(r.ref, 71) FROM refs r WHERE r.org = file_owners.org AND substr(r.ref, 6, 64) = file_owners.id;
DROP TABLE refs;
