-- Which task uses which file, and whose the task is. A file that tasks have used is
-- erased a day after the last of them was deleted.
CREATE TABLE file_uses (
    org   TEXT COLLATE "C" NOT NULL,
    id    TEXT COLLATE "C" NOT NULL, -- of the file
    task  TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    grp   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, id, task)
);
CREATE INDEX file_uses_task ON file_uses (org, task);

-- What a file was called when it was brought, when that was first, and when a task
-- that used it was last deleted. A file has a row here for as long as it is kept:
-- one of a time before owners was brought by nobody.
ALTER TABLE file_owners ADD COLUMN name    TEXT COLLATE "C" NOT NULL DEFAULT 'file';
ALTER TABLE file_owners ADD COLUMN at      BIGINT NOT NULL DEFAULT 0;
ALTER TABLE file_owners ADD COLUMN left_at BIGINT NOT NULL DEFAULT 0;
UPDATE file_owners SET at = f.created_at FROM files f WHERE f.org = file_owners.org AND f.id = file_owners.id;
INSERT INTO file_owners (org, id, owner, grp, at)
    SELECT org, id, '', '', created_at FROM files f WHERE NOT EXISTS (SELECT 1 FROM file_owners o WHERE o.org = f.org AND o.id = f.id);
CREATE INDEX file_owners_at    ON file_owners (org, at, id);
CREATE INDEX file_owners_owner ON file_owners (org, owner, at, id);
CREATE INDEX file_owners_group ON file_owners (org, grp, at, id) WHERE grp <> '';
CREATE INDEX file_owners_left  ON file_owners (org, left_at) WHERE left_at > 0;
CREATE INDEX files_id          ON files (id);

-- What the tasks that are there refer to, "file:<id>/<name>": found in the text, since
-- not every spec is what the database calls JSON. A prompt that quotes a reference
-- counts as one. An older file that none refers to may never have been used: it stays.
-- The table of them goes at once; not everybody may make a temporary one.
CREATE TABLE file_refs AS
    SELECT u.org, u.task, m[1] AS id, m[2] AS name
    FROM turns u, regexp_matches(u.spec, '"file:([0-9a-f]{64})/([^"\\]+)?', 'g') AS m;
INSERT INTO file_uses (org, id, task, owner, grp)
    SELECT DISTINCT t.org, f.id, t.id, t.owner, t.grp FROM file_refs r JOIN tasks t ON t.org = r.org AND t.id = r.task
    JOIN files f ON f.org = r.org AND f.id = r.id;
UPDATE file_owners SET name = r.name FROM file_refs r WHERE r.org = file_owners.org AND r.id = file_owners.id AND r.name <> '';
DROP TABLE file_refs;
