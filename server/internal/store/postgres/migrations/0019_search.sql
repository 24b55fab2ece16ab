-- What of tasks can be found by its words. A document is a part of a task's log, by its
-- number, which rises with the time of its first event; words are those of the document
-- without the text itself, which stands in the log. search is how far they have come:
-- the feed's entry behind which news are, and the task behind which those are that were
-- there before the index.
CREATE TABLE documents (
    id        BIGINT PRIMARY KEY,
    org       TEXT COLLATE "C" NOT NULL,
    task      TEXT COLLATE "C" NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq  BIGINT NOT NULL
);
CREATE INDEX documents_task ON documents (org, task, last_seq);
CREATE TABLE words (
    rowid BIGINT PRIMARY KEY,
    said  TSVECTOR NOT NULL
);
CREATE INDEX words_said ON words USING gin (said);
CREATE TABLE search (
    pos    BIGINT NOT NULL,
    n      BIGINT NOT NULL,
    org    TEXT COLLATE "C" NOT NULL,
    task   TEXT COLLATE "C" NOT NULL,
    walked SMALLINT NOT NULL
);
INSERT INTO search VALUES (0, 0, '', '', 0);
