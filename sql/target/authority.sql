-- What is asked of and written into PostgreSQL's control row, and what a change of authority leaves with it.

-- name: prepared
-- Whether there is a control row at all.
SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'dualdb' AND tablename = 'control')

-- name: claim
-- The first control row: a lineage, in phase sqlite.
INSERT INTO dualdb.control (id, layout, source_id, epoch, phase, target_schema) VALUES (1, %s, %s, 1, 'sqlite', %s)

-- name: claim_alone
-- The first control row where there is no SQLite file: PostgreSQL is the authority at once.
INSERT INTO dualdb.control (id, layout, source_id, epoch, phase, target_schema) VALUES (1, %s, %s, 1, 'postgres', %s)

-- name: prune_alone
-- Nobody follows: who writes prunes the journal.
INSERT INTO dualdb.pruning (id, through, next) VALUES (1, pg_current_xact_id(), pg_current_xact_id())

-- name: one_at_a_time
-- Of those who find the database empty at once, one makes it ready.
SELECT pg_advisory_xact_lock(hashtextextended('dualdb', 0))

-- name: listen
-- Hear of each change of the control row.
LISTEN dualdb

-- name: known
-- What whoever opens PostgreSQL by its address goes by.
SELECT source_id, epoch, phase, move_state, target_schema, version FROM dualdb.control

-- name: change_schema
-- Another version of the application's schema.
UPDATE dualdb.control SET id = id

-- name: layout
-- The version of our own tables here, asked before anything else of them is.
SELECT layout FROM dualdb.control

-- name: served
-- Which file this target serves, and how much it has heard of: a connection proves by it that it leads where it should.
SELECT source_id, epoch, phase, move_state FROM dualdb.control

-- name: control
-- Who is the authority, and how a move stands.
SELECT source_id, epoch, phase, move, move_state, move_to, deadline, fenced_head FROM dualdb.control

-- name: lock_control
-- The same, and nobody else changes it.
SELECT source_id, epoch, phase, move, move_state, move_to, deadline, fenced_head FROM dualdb.control FOR UPDATE

-- name: share_control
-- Whether PostgreSQL is the authority and no move is under way; while this is held none begins.
SELECT phase, move_state FROM dualdb.control FOR SHARE

-- name: step
-- One step of a move.
UPDATE dualdb.control
SET epoch = %s, phase = %s, move = %s, move_state = %s, move_to = %s, deadline = %s, fenced_head = %s

-- name: hear
-- The phase of a later epoch, where it was not heard of before.
UPDATE dualdb.control SET phase = %(phase)s, epoch = %(epoch)s WHERE epoch < %(epoch)s RETURNING epoch

-- name: held
-- How far PostgreSQL has come as a follower; nobody else changes it.
SELECT position, aligned FROM dualdb.watermark FOR UPDATE

-- name: follow
-- It follows from here on: whole, or with everything to be copied.
INSERT INTO dualdb.watermark (id, epoch, position, aligned, schema_version, whole)
VALUES (1, %(epoch)s, %(position)s, %(aligned)s, %(schema_version)s, %(aligned)s)
ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, position = excluded.position, aligned = excluded.aligned,
    schema_version = excluded.schema_version, whole = excluded.whole, applied_at = clock_timestamp()

-- name: follow_nobody
-- A relay of the other direction finds nothing to go on from.
DELETE FROM dualdb.watermark

-- name: forget_copies
-- Nothing counts as copied.
DELETE FROM dualdb.copy

-- name: finish_copies
-- Everything counts as copied.
UPDATE dualdb.copy SET done = true, cursor = NULL

-- name: any_quarantined
-- Whether a row is in quarantine.
SELECT EXISTS (SELECT 1 FROM dualdb.quarantine)

-- name: set_quarantine_aside
-- Keep what is in quarantine as a table of that name.
CREATE TABLE {name} AS
SELECT coalesce(r.name, q.tbl::text) AS "table", q.key, q.reason, q.image, q.noticed_at
FROM dualdb.quarantine AS q LEFT JOIN dualdb.relation AS r ON r.id = q.tbl

-- name: forget_quarantine
-- No row is in quarantine.
DELETE FROM dualdb.quarantine
