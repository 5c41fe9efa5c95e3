-- What `dualdb status` asks of PostgreSQL; reads only.

-- name: verified
-- The last verification, JSON.
SELECT verified FROM dualdb.control

-- name: watermark
-- What PostgreSQL holds while it follows, and how long ago that became true.
SELECT epoch, position, aligned, whole, extract(epoch FROM clock_timestamp() - applied_at)::double precision FROM dualdb.watermark

-- name: copies
-- How far the copy of each table has come.
SELECT coalesce(r.name, 'table ' || c.tbl), c.rows, c.done
FROM dualdb.copy AS c LEFT JOIN dualdb.relation AS r ON r.id = c.tbl
ORDER BY c.tbl

-- name: quarantined
-- How many rows are in quarantine.
SELECT count(*) FROM dualdb.quarantine

-- name: first_quarantined
-- The first few of them.
SELECT coalesce(r.name, 'table ' || q.tbl), q.key, q.reason
FROM dualdb.quarantine AS q LEFT JOIN dualdb.relation AS r ON r.id = q.tbl
ORDER BY q.tbl, q.key LIMIT %s

-- name: aside
-- The schemas whose names begin so, in the order in which they were made.
SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname::text, %s) ORDER BY oid

-- name: head
-- The number of the newest journal row.
SELECT coalesce(max(seq), 0) FROM dualdb.journal

-- name: timeline
-- The server's timeline.
SELECT dualdb.timeline()

-- name: behind
-- How many journal rows a position does not hold, up to a number and counted as far as a limit.
SELECT count(*) FROM (
    SELECT 1 FROM dualdb.journal
    WHERE xid >= pg_snapshot_xmin(%(after)s::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, %(after)s::pg_snapshot)
      AND NOT (seq <= %(seq)s AND pg_visible_in_snapshot(xid, %(until)s::pg_snapshot))
      AND seq <= %(head)s AND (tbl <> 0 OR key <> '{}')
    LIMIT %(cap)s
) AS behind

-- name: tables
-- The application's tables, and the schema that they are in.
SELECT c.target_schema, o.name FROM dualdb.control AS c, dualdb.object AS o WHERE o.type = 'table' ORDER BY o.ordinal
