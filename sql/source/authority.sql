-- What is asked of and written into the SQLite file's control row, and what a change of authority leaves with it.

-- name: claim
-- The first control row: a lineage, and the target that it goes to.
INSERT INTO _dualdb_control(id, layout, source_id, epoch, phase, target, target_schema, target_identity)
VALUES (1, ?, ?, 1, ?, ?, ?, ?)

-- name: claim_anew
-- Another lineage and another target, for a file that was never mirrored.
UPDATE _dualdb_control SET source_id = ?, target = ?, target_schema = ?, target_identity = ?

-- name: control
-- Who is the authority, how a move stands, and where the target is.
SELECT source_id, epoch, phase, move, move_state, move_to, deadline, fenced_head,
       target, target_schema, target_identity
FROM _dualdb_control

-- name: step
-- One step of a move.
UPDATE _dualdb_control
SET epoch = ?, phase = ?, move = ?, move_state = ?, move_to = ?, deadline = ?, fenced_head = ?

-- name: mirror
-- The mirror is on; the epoch goes past whatever the target has heard of.
UPDATE _dualdb_control SET phase = ?, epoch = max(epoch, ?) + 1, fenced_head = ?

-- name: leave_mirror
-- The mirror is off.
UPDATE _dualdb_control SET phase = ?, epoch = epoch + 1, fenced_head = NULL

-- name: held
-- How far this file has come as a follower.
SELECT position, aligned FROM _dualdb_watermark

-- name: follow_nobody
-- A relay of the other direction finds nothing to go on from.
DELETE FROM _dualdb_watermark

-- name: begin_anew
-- It follows from here on, with everything to be copied.
INSERT INTO _dualdb_watermark(id, epoch, position, aligned, schema_version, whole, applied_at)
VALUES (1, ?, ?, 0, ?, 0, (julianday('now') - 2440587.5) * 86400.0)
ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, position = excluded.position, aligned = excluded.aligned,
    schema_version = excluded.schema_version, whole = excluded.whole, applied_at = excluded.applied_at

-- name: forget_copies
-- Nothing counts as copied.
DELETE FROM _dualdb_copy

-- name: set_quarantine_aside
-- Keep what is in quarantine as a table of that name.
CREATE TABLE {name} AS
SELECT coalesce(t.name, q.tbl) AS "table", q.key, q.reason, q.image, q.noticed_at
FROM _dualdb_quarantine AS q LEFT JOIN _dualdb_table AS t ON t.id = q.tbl

-- name: forget_quarantine
-- No row is in quarantine.
DELETE FROM _dualdb_quarantine

-- name: give_up_triggers
-- None of those that wait for the way back is put back then, and why; their texts stay.
UPDATE _dualdb_trigger SET problem = ? WHERE problem IS NULL
