-- What of tasks can be found by its words. A document is an event, or chunks that follow one
-- another, by its number, which rises with the time of the first of them; words are those
-- of the document without the text itself, which stands in the log. search is how far they
-- have come: how often something was added, the feed's entry behind which news are, and the
-- task behind which those are that were there before the index.
CREATE TABLE documents (
    id         BIGINT PRIMARY KEY,
    org        TEXT COLLATE "C" NOT NULL,
    task       TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    first_seq  BIGINT NOT NULL,
    last_seq   BIGINT NOT NULL
);
CREATE INDEX documents_task ON documents (org, task, last_seq, created_at);
CREATE TABLE words (
    rowid BIGINT PRIMARY KEY REFERENCES documents ON DELETE CASCADE,
    said  TSVECTOR NOT NULL
);
CREATE INDEX words_said ON words USING gin (said);
CREATE TABLE search (
    step   BIGINT NOT NULL,
    pos    BIGINT NOT NULL,
    n      BIGINT NOT NULL,
    org    TEXT COLLATE "C" NOT NULL,
    task   TEXT COLLATE "C" NOT NULL,
    walked SMALLINT NOT NULL
);
INSERT INTO search VALUES (0, 0, 0, '', '', 0);
