-- What is written into a file that was restored from a backup of before its move.

-- name: follow
-- It follows from here on, and holds nothing of the authority's.
INSERT OR REPLACE INTO _dualdb_watermark(id, epoch, position, aligned, schema_version, applied_at)
VALUES (1, ?, ?, 0, ?, ?)

-- name: demote
-- The authority is the other side, in this epoch and phase, since that move.
UPDATE _dualdb_control SET epoch = ?, phase = ?, move = ?, move_state = 'rest', move_to = NULL, deadline = NULL,
    fenced_head = NULL
