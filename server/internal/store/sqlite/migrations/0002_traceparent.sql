-- +goose Up
-- The trace to which the request belongs that began the turn, '' for none.
ALTER TABLE tasks ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';
