-- Addresses to which the updates of a turn are posted. headers are sealed; taken is the place
-- of the last update that was taken, twice the number of its event or less; due is when the
-- next one may be posted, 0 when nothing more is.
CREATE TABLE pushes (
    org       TEXT COLLATE "C" NOT NULL,
    task      TEXT COLLATE "C" NOT NULL,
    turn      BIGINT NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    put_at    BIGINT NOT NULL,
    url       TEXT NOT NULL,
    target    TEXT NOT NULL,
    headers   BYTEA,
    first_seq BIGINT NOT NULL,
    since_seq BIGINT NOT NULL,
    taken     BIGINT NOT NULL,
    due       BIGINT NOT NULL,
    failures  BIGINT NOT NULL,
    failed_at BIGINT NOT NULL,
    failure   TEXT NOT NULL,
    PRIMARY KEY (org, task, turn, id)
);
CREATE INDEX pushes_due ON pushes (due) WHERE due > 0;
