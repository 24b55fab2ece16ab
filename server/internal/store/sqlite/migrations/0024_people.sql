-- +goose Up
-- The user as whom somebody signs in with a provider and acts; '' of a key.
ALTER TABLE keys ADD COLUMN person TEXT NOT NULL DEFAULT '';
