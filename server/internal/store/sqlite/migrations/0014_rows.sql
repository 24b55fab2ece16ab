-- +goose Up
-- Lists by the worker, the end and the tree. A root is in no index of trees: its id is
-- the tree's.
CREATE INDEX tasks_worker ON tasks (org, worker_id, created_at, id) WHERE worker_id IS NOT NULL;
CREATE INDEX tasks_reason ON tasks (org, end_reason, created_at, id) WHERE end_reason NOT IN ('', 'completed');
CREATE INDEX tasks_root   ON tasks (org, root_id, created_at, id) WHERE depth > 0;
