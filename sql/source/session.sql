-- name: databases
-- The main database, the temporary one once there is one, and those attached, by SQLite's numbers; reads no file.
PRAGMA database_list

-- name: temporary
-- What is temporary.
SELECT CAST(name AS BLOB) FROM temp.sqlite_master ORDER BY name

-- name: counters
-- What the connection knows of its last writes.
SELECT last_insert_rowid(), changes()

-- name: scratch
-- Rows that nobody needs. It stays as long as the connection does: to drop it would end SELECTs that are not finished.
CREATE TEMP TABLE IF NOT EXISTS _dualdb_scratch (id INTEGER PRIMARY KEY)

-- name: write
-- Insert the rows from one id to another, the last one.
WITH RECURSIVE ids(id) AS (SELECT :first UNION ALL SELECT id + :step FROM ids WHERE id <> :last)
INSERT INTO temp._dualdb_scratch SELECT id FROM ids

-- name: change_nothing
-- A write that finds no row.
DELETE FROM temp._dualdb_scratch WHERE 0
