-- What attempts have asked of people: which event asks, and which has answered, 0 for
-- none. Whose it is stands here as well, for lists.
CREATE TABLE approvals (
    org          TEXT COLLATE "C" NOT NULL,
    task         TEXT COLLATE "C" NOT NULL,
    seq          BIGINT NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    turn         BIGINT NOT NULL,
    key          TEXT COLLATE "C" NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,
    at           BIGINT NOT NULL,
    owner        TEXT COLLATE "C" NOT NULL,
    grp          TEXT COLLATE "C" NOT NULL,
    answered_seq BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (org, task, seq)
);
CREATE UNIQUE INDEX approvals_id    ON approvals (org, id);
CREATE UNIQUE INDEX approvals_key   ON approvals (org, task, turn, key);
CREATE INDEX        approvals_all   ON approvals (org, at, id);
CREATE INDEX        approvals_state ON approvals (org, state, at, id);
CREATE INDEX        approvals_owner ON approvals (org, owner, at, id);
CREATE INDEX        approvals_group ON approvals (org, grp, at, id) WHERE grp <> '';
