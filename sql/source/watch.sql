-- name: authority
-- The phase in force and the state of a move.
SELECT epoch, phase, move_state FROM _dualdb_control
