-- name: authority
-- The phase in force and the state of a move, as bytes so that no text_factory can touch them.
SELECT epoch, CAST(phase AS BLOB), CAST(move_state AS BLOB) FROM _dualdb_control
