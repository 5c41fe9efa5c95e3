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

-- name: mark_known
-- The same as `mark`, for a statement that was planned for a version: refused when it is another by now.
SELECT pg_current_xact_id()::text, set_config('dualdb.token', %s, true),
       CASE WHEN version <> %s THEN dualdb.outdated() END
FROM dualdb.control

-- name: snapshot_known
-- The same as `snapshot`, likewise.
SELECT pg_current_snapshot()::text, CASE WHEN version <> %s THEN dualdb.outdated() END FROM dualdb.control

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
-- Whether a transaction has left its rows in the journal; NULL where they may have been pruned since. Asked after its
-- outcome, never in one snapshot with that.
SELECT EXISTS (SELECT 1 FROM dualdb.journal WHERE xid = %(xid)s::text::xid8 AND token = %(token)s::text::bigint)
       OR nullif(EXISTS (SELECT 1 FROM dualdb.pruning WHERE through > %(xid)s::text::xid8), true)

-- name: prune
-- Forget a bounded number of journal rows where no file follows; whether there is more. In a write transaction, under the
-- writers' lock. What a prune notes as everybody's past goes with a later one, when whoever has lost the answer to his
-- COMMIT has asked for its rows. Each leaves a row of its own: so whoever has a snapshot of before it still finds, in
-- place of what is gone, that somebody has committed since.
WITH bounds (kept_s, rows) AS (
    SELECT %s, %s
), due AS (
    SELECT next FROM dualdb.pruning, bounds WHERE noted_at < clock_timestamp() - make_interval(secs => kept_s)
), gone AS (
    DELETE FROM dualdb.journal WHERE seq IN (
        SELECT seq FROM dualdb.journal WHERE xid < (SELECT next FROM due) ORDER BY xid LIMIT (SELECT rows FROM bounds)
    ) RETURNING seq
), rest AS (
    SELECT count(*) = (SELECT rows FROM bounds) AS is_left FROM gone
), noted AS (
    UPDATE dualdb.pruning AS p SET through = due.next,
        next = CASE WHEN is_left THEN p.next ELSE pg_snapshot_xmin(pg_current_snapshot()) END,
        noted_at = CASE WHEN is_left THEN noted_at ELSE clock_timestamp() END
    FROM due, rest
), marked AS (
    INSERT INTO dualdb.journal (tbl, key) SELECT 0, '{}' FROM due
)
SELECT is_left FROM rest

-- name: end_backend
-- End the backend that is still at work on a transaction.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_xid::text = %s::text

-- name: wait_for_locks
-- How long this connection waits for each lock, in milliseconds.
SELECT set_config('lock_timeout', %s, false)
