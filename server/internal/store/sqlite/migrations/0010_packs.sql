-- +goose Up
-- A row of a log may hold several events: those from first_seq to seq, in packed.
-- A client_id that is a number, or ends with a dash and one, is kept in two parts, that of
-- the last event of the row: those of its events follow one another.
ALTER TABLE events ADD COLUMN first_seq INTEGER NOT NULL DEFAULT 0; -- 0 for one event, which own holds
ALTER TABLE events ADD COLUMN packed    BLOB;
ALTER TABLE events ADD COLUMN client_of TEXT;
ALTER TABLE events ADD COLUMN client_no INTEGER NOT NULL DEFAULT 0;

UPDATE events SET
    client_of = rtrim(client_id, '0123456789'),
    client_no = CAST(substr(client_id, length(rtrim(client_id, '0123456789')) + 1) AS INTEGER),
    client_id = NULL
WHERE client_id GLOB '*[1-9]*' AND (rtrim(client_id, '0123456789') = '' OR substr(rtrim(client_id, '0123456789'), -1) = '-')
    AND length(client_id) - length(rtrim(client_id, '0123456789')) BETWEEN 1 AND 15
    AND substr(client_id, length(rtrim(client_id, '0123456789')) + 1, 1) <> '0';

CREATE UNIQUE INDEX events_numbered ON events (org, task, turn, client_of, client_no) WHERE client_of IS NOT NULL;

-- Up to which number a log is packed, and whether more of it should be.
ALTER TABLE tasks ADD COLUMN packed_to INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN unpacked  INTEGER NOT NULL DEFAULT 0;
UPDATE tasks SET unpacked = 1 WHERE ended <> '' AND last_seq >= 32 AND holdover = 0
    AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.org = tasks.org AND a.task = tasks.id AND a.let_go_at = 0);
CREATE INDEX tasks_unpacked ON tasks (org, id) WHERE unpacked = 1;
