-- Browsers that are signed in with a key: the hash of what they show in its place.
CREATE TABLE sessions (
    org    TEXT COLLATE "C" NOT NULL,
    hash   BYTEA NOT NULL UNIQUE,
    key_id TEXT COLLATE "C" NOT NULL,
    until  BIGINT NOT NULL,
    PRIMARY KEY (org, hash)
);
CREATE INDEX sessions_until ON sessions (until);
