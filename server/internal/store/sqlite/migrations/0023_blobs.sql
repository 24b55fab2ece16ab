-- +goose Up
-- Contents on their way: in, for as many uploads as are coming, or out, when they are
-- going. at is when the last of that began. A content that is in its place has no row here
-- for long.
CREATE TABLE transit (
    id     TEXT NOT NULL PRIMARY KEY,
    at     INTEGER NOT NULL,
    coming INTEGER NOT NULL,
    going  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX transit_going ON transit (going, coming, at);
-- Contents in the database (--blobs database), in pieces.
CREATE TABLE pieces (
    id    TEXT NOT NULL,
    n     INTEGER NOT NULL,
    piece BLOB NOT NULL,
    PRIMARY KEY (id, n)
);
