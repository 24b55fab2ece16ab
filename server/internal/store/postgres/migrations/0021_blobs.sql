-- +goose Up
-- Contents on their way: in, for as many uploads as are coming, or out, when they are
-- going. at is when the last of that began. A content that is in its place has no row here
-- for long.
CREATE TABLE transit (
    id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at     BIGINT NOT NULL,
    coming BIGINT NOT NULL,
    going  SMALLINT NOT NULL
);
CREATE INDEX transit_going ON transit (going, coming, at);
-- Contents in the database (--blobs database), in pieces.
CREATE TABLE pieces (
    id    TEXT COLLATE "C" NOT NULL,
    n     BIGINT NOT NULL,
    piece BYTEA NOT NULL,
    PRIMARY KEY (id, n)
);
