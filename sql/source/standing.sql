-- What `dualdb status` asks of the SQLite file; reads only.

-- name: verified
-- The last verification, JSON.
SELECT verified FROM _dualdb_control

-- name: watermark
-- What this file holds while it follows, and how long ago that became true.
SELECT epoch, position, aligned, whole, (julianday('now') - 2440587.5) * 86400.0 - applied_at FROM _dualdb_watermark

-- name: copies
-- How far the copy of each table has come.
SELECT coalesce(t.name, 'table ' || c.tbl), c.rows, c.done
FROM _dualdb_copy AS c LEFT JOIN _dualdb_table AS t ON t.id = c.tbl
ORDER BY c.tbl

-- name: quarantined
-- How many rows are in quarantine.
SELECT count(*) FROM _dualdb_quarantine

-- name: first_quarantined
-- The first few of them.
SELECT coalesce(t.name, 'table ' || q.tbl), q.key, q.reason
FROM _dualdb_quarantine AS q LEFT JOIN _dualdb_table AS t ON t.id = q.tbl
ORDER BY q.tbl, q.key LIMIT ?

-- name: aside
-- The tables whose names begin so, in the order in which they were made.
SELECT name FROM main.sqlite_master WHERE type = 'table' AND instr(lower(name), ?) = 1 ORDER BY rowid

-- name: triggers
-- The application's triggers that do not come back by themselves, and why.
SELECT name, problem FROM _dualdb_trigger
WHERE problem IS NOT NULL AND sql NOT IN (SELECT sql FROM main.sqlite_master WHERE type = 'trigger')
ORDER BY ordinal

-- name: head
-- The number of the newest journal row.
SELECT coalesce(max(seq), 0) FROM _dualdb_journal

-- name: behind
-- How many journal rows lie behind one and up to another, counted as far as a limit; marks without a row left out.
SELECT count(*) FROM (
    SELECT 1 FROM _dualdb_journal WHERE seq > ? AND seq <= ? AND (tbl <> 0 OR k1 IS NOT NULL) LIMIT ?
)
