-- +goose Up
-- Whose slot an entry frees, '' for nobody's.
ALTER TABLE feed ADD COLUMN worker TEXT COLLATE "C" NOT NULL DEFAULT '';
