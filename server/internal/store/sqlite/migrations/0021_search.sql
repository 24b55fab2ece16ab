-- +goose Up
-- What of tasks can be found by its words. A document is a part of a task's log, by its
-- number, which rises with the time of its first event; words are those of the document
-- without the text itself, which stands in the log. search is how far they have come:
-- the feed's entry behind which news are, and the task behind which those are that were
-- there before the index.
CREATE TABLE documents (
    id        INTEGER PRIMARY KEY,
    org       TEXT NOT NULL,
    task      TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL
);
CREATE INDEX documents_task ON documents (org, task, last_seq);
CREATE VIRTUAL TABLE words USING fts5 (
    said, content='', contentless_delete=1,
    tokenize="unicode61 remove_diacritics 0 categories 'L* N* Co M*'"
);
CREATE TABLE search (
    pos    INTEGER NOT NULL,
    n      INTEGER NOT NULL,
    org    TEXT NOT NULL,
    task   TEXT NOT NULL,
    walked INTEGER NOT NULL
);
INSERT INTO search VALUES (0, 0, '', '', 0);
