-- Addresses that are told of all tasks of an organization, an owner or a group. types and
-- agents are lists, which are empty for all; secret is sealed; pos and n are behind which entry
-- of the feed it is yet to be told.
CREATE TABLE webhooks (
    org        TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    owner      TEXT COLLATE "C" NOT NULL,
    grp        TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    url        TEXT NOT NULL,
    target     TEXT NOT NULL,
    types      TEXT NOT NULL,
    agents     TEXT NOT NULL,
    secret     BYTEA,
    enabled    BIGINT NOT NULL,
    pos        BIGINT NOT NULL,
    n          BIGINT NOT NULL,
    taken_at   BIGINT NOT NULL,
    failures   BIGINT NOT NULL,
    failed_at  BIGINT NOT NULL,
    failure    TEXT NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE INDEX webhooks_enabled ON webhooks (pos, n) WHERE enabled = 1;
-- Of a push the webhook for which it was made, '' for none.
ALTER TABLE pushes ADD COLUMN webhook TEXT NOT NULL DEFAULT '';
