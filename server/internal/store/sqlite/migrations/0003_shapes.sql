-- +goose Up
-- Whose a task is, where it stands in its tree, who wrote an event, which nodes
-- there are, and one feed of all changes.
ALTER TABLE tasks ADD COLUMN owner    TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN grp      TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN scoped   INTEGER NOT NULL DEFAULT 0; -- somebody sees by the owner
ALTER TABLE tasks ADD COLUMN root_id  TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN depth    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN subtasks INTEGER NOT NULL DEFAULT 0;

WITH RECURSIVE tree (org, id, root, depth) AS (
    SELECT t.org, t.id, t.id, 0 FROM tasks t
    WHERE t.parent_id = '' OR NOT EXISTS (SELECT 1 FROM tasks p WHERE p.org = t.org AND p.id = t.parent_id)
    UNION
    SELECT c.org, c.id, tree.root, tree.depth + 1 FROM tree JOIN tasks c ON c.org = tree.org AND c.parent_id = tree.id AND c.parent_id <> ''
    WHERE tree.depth < 10000
)
UPDATE tasks SET (root_id, depth) = (tree.root, tree.depth) FROM tree WHERE tree.org = tasks.org AND tree.id = tasks.id;
UPDATE tasks SET root_id = id WHERE root_id = '';
UPDATE tasks SET subtasks = (SELECT count(*) FROM tasks c WHERE c.org = tasks.org AND c.parent_id = tasks.id AND c.parent_id <> '')
    WHERE EXISTS (SELECT 1 FROM tasks c WHERE c.org = tasks.org AND c.parent_id = tasks.id AND c.parent_id <> '');

CREATE INDEX tasks_owner ON tasks (org, owner, created_at, id) WHERE scoped = 1;
CREATE INDEX tasks_group ON tasks (org, grp, created_at, id) WHERE grp <> '';

-- The attempt that wrote an event, or who did by name.
ALTER TABLE events ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN by_whom TEXT NOT NULL DEFAULT '';

ALTER TABLE keys ADD COLUMN sees    TEXT NOT NULL DEFAULT 'all';
ALTER TABLE keys ADD COLUMN grp     TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN trusted INTEGER NOT NULL DEFAULT 0;

-- Who has brought a file: its content may be brought more than once.
CREATE TABLE file_owners (
    org   TEXT NOT NULL,
    id    TEXT NOT NULL,
    owner TEXT NOT NULL,
    grp   TEXT NOT NULL,
    PRIMARY KEY (org, id, owner, grp)
) WITHOUT ROWID;

ALTER TABLE workers ADD COLUMN node TEXT NOT NULL DEFAULT 'server';

CREATE TABLE nodes (
    id    TEXT NOT NULL PRIMARY KEY,
    heard INTEGER NOT NULL
) WITHOUT ROWID;

-- When any node was last there: one row.
CREATE TABLE alive (
    one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    heard   INTEGER NOT NULL DEFAULT 0,
    renewed INTEGER NOT NULL DEFAULT 0,
    sweeper TEXT NOT NULL DEFAULT ''
);
INSERT INTO alive (one) VALUES (1);

CREATE TABLE feed (
    pos       INTEGER NOT NULL, -- of the commit
    n         INTEGER NOT NULL, -- in the commit
    org       TEXT NOT NULL,
    task      TEXT NOT NULL,
    agent     TEXT NOT NULL,
    kind      INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    node      TEXT NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (pos, n)
) WITHOUT ROWID;
