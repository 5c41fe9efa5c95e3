-- name: layout
-- The version of our own tables in the file, asked before anything else of them is.
SELECT layout FROM _dualdb_control

-- name: cookie
-- Another number after each change of the schema. It stands in the file's header.
PRAGMA schema_version

-- name: authority
-- The phase in force, the state of a move, and where PostgreSQL is.
SELECT phase, move_state, target, target_schema, source_id, target_identity, epoch FROM _dualdb_control

-- name: lock
-- Change nothing, but take the write lock. It does not begin as what Python's sqlite3 opens a transaction for.
WITH none_of_them(id) AS (SELECT 1 WHERE 0) UPDATE _dualdb_control SET id = id WHERE id IN (SELECT id FROM none_of_them)

-- name: away
-- Whether PostgreSQL is the authority, or on the way to be; a number, which no text factory changes.
SELECT EXISTS (SELECT 1 FROM _dualdb_control WHERE phase = 'postgres' OR move_state = 'moving')

-- name: epoch
-- Another number after each change of authority.
SELECT epoch FROM _dualdb_control
