-- Texts that stand for a key in part: with a task they read that task, without one they
-- sign a browser in once. Of the text there is the hash alone.
CREATE TABLE passes (
    org        TEXT COLLATE "C" NOT NULL,
    hash       BYTEA NOT NULL UNIQUE,
    id         TEXT COLLATE "C" NOT NULL,
    key_id     TEXT COLLATE "C" NOT NULL,
    task       TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    until      BIGINT NOT NULL,
    PRIMARY KEY (org, task, id)
);
CREATE INDEX passes_until ON passes (until);
