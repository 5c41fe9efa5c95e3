-- What the driver says to PostgreSQL around the application's own statements.

-- name: lock_writers
-- One writer at a time, as SQLite has it.
LOCK TABLE dualdb.writer IN EXCLUSIVE MODE

-- name: mark
-- Number the transaction, and let what it journals carry a token: a crash may give its number to another one.
SELECT pg_current_xact_id()::text, set_config('dualdb.token', %s, true)

-- name: snapshot
-- What the transaction sees.
SELECT pg_current_snapshot()::text

-- name: committed_since
-- Whether anybody has committed a change that a snapshot did not see.
SELECT EXISTS (
    SELECT 1 FROM dualdb.journal
    WHERE xid >= pg_snapshot_xmin(%(after)s::text::pg_snapshot)
      AND NOT pg_visible_in_snapshot(xid, %(after)s::text::pg_snapshot)
)

-- name: outcome
-- What PostgreSQL says became of a transaction's number; an error when it was not given yet.
SELECT pg_xact_status(%s::text::xid8)

-- name: proof
-- Whether a transaction has left its rows in the journal. Asked after its outcome, never in one snapshot with that.
SELECT EXISTS (SELECT 1 FROM dualdb.journal WHERE xid = %s::text::xid8 AND token = %s::text::bigint)

-- name: end_backend
-- End the backend that is still at work on a transaction.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_xid::text = %s::text

-- name: wait_for_locks
-- How long this connection waits for each lock, in milliseconds.
SELECT set_config('lock_timeout', %s, false)
