-- What attempts have committed of a turn's work, for its later attempts: which event
-- holds it. A task counts those of its present turn.
ALTER TABLE tasks ADD COLUMN steps BIGINT NOT NULL DEFAULT 0;
CREATE TABLE steps (
    org  TEXT COLLATE "C" NOT NULL,
    task TEXT COLLATE "C" NOT NULL,
    seq  BIGINT NOT NULL,
    turn BIGINT NOT NULL,
    id   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, task, seq)
);
CREATE UNIQUE INDEX steps_id   ON steps (org, task, turn, id);
CREATE INDEX        steps_turn ON steps (org, task, turn, seq);
