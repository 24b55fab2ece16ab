-- +goose Up
-- Keys that end by themselves, when they were used last, and who has made them.
ALTER TABLE keys ADD COLUMN expires_at   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN last_used_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN created_by   TEXT NOT NULL DEFAULT '';
