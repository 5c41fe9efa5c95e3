-- name: layout
-- The version of our own tables in the file, asked before anything else of them is.
SELECT layout FROM _dualdb_control

-- name: authority
-- The phase in force, the state of a move, and where PostgreSQL is.
SELECT phase, move_state, target, target_schema, source_id, target_identity, epoch FROM _dualdb_control
