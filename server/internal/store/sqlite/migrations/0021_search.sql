-- +goose Up
-- What of tasks can be found by its words. A document is an event, or chunks that follow one
-- another, by its number, which rises with the time of the first of them; words are those
-- of the document without the text itself, which stands in the log. search is how far they
-- have come: how often something was added, the feed's entry behind which news are, and the
-- task behind which those are that were there before the index.
CREATE TABLE documents (
    id         INTEGER PRIMARY KEY,
    org        TEXT NOT NULL,
    task       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    first_seq  INTEGER NOT NULL,
    last_seq   INTEGER NOT NULL
);
CREATE INDEX documents_task ON documents (org, task, last_seq, created_at);
CREATE VIRTUAL TABLE words USING fts5 (said, content='', contentless_delete=1, tokenize='ascii');
-- +goose StatementBegin
CREATE TRIGGER documents_dropped AFTER DELETE ON documents BEGIN
    DELETE FROM words WHERE rowid = old.id;
END;
-- +goose StatementEnd
CREATE TABLE search (
    step   INTEGER NOT NULL,
    pos    INTEGER NOT NULL,
    n      INTEGER NOT NULL,
    org    TEXT NOT NULL,
    task   TEXT NOT NULL,
    walked INTEGER NOT NULL
);
INSERT INTO search VALUES (0, 0, 0, '', '', 0);
