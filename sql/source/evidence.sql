-- What verification asks of the SQLite file besides its rows, and what it notes there.

-- name: kept
-- The last verification that was noted here.
SELECT verified FROM _dualdb_control

-- name: keep
-- Note a verification.
UPDATE _dualdb_control SET verified = ?

-- name: objects
-- The names of all indexes and views.
SELECT name FROM main.sqlite_master WHERE type IN ('index', 'view')

-- name: sequences
-- The highest id that AUTOINCREMENT remembers of each table.
SELECT name, seq FROM main.sqlite_sequence

-- name: has_sequences
-- Whether any table ever was AUTOINCREMENT.
SELECT EXISTS (SELECT 1 FROM main.sqlite_master WHERE name = 'sqlite_sequence')

-- name: orphans
-- How many rows of a table break each of its foreign keys.
SELECT "table", fkid, count(*) FROM pragma_foreign_key_check(?) GROUP BY fkid

-- name: orphan_rowids
-- The first few of those rows.
SELECT rowid FROM pragma_foreign_key_check(?) WHERE fkid = ? AND rowid IS NOT NULL LIMIT ?

-- name: foreign_keys
-- The columns of each foreign key.
SELECT id, "from", "table" FROM pragma_foreign_key_list(?) ORDER BY id, seq
