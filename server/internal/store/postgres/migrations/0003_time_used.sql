-- What a turn has used of its time-out adds up over attempts and pauses (rule S7), in
-- microseconds. Up to now a paused turn kept the moment at which it would have ended.

ALTER TABLE tasks ADD COLUMN time_used bigint NOT NULL DEFAULT 0;

UPDATE tasks SET
    time_used = CAST((CASE WHEN timeout > 0 THEN 1000000 * timeout ELSE 86400000000 END) - (timeout_at - paused_at) AS bigint),
    timeout_at = 0
WHERE status = 'paused' AND timeout_at > 0;
