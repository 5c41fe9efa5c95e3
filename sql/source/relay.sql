-- What the relay asks of the SQLite file and writes into it.

-- name: control
-- Who is the authority, as this snapshot knows it, and what the sentinel compares.
SELECT epoch, phase, proven_catalog, move, move_state, pruned_through, verified FROM _dualdb_control

-- name: open
-- Read something: SQLite opens a file when it is first read.
SELECT 1 FROM sqlite_master LIMIT 1

-- name: head
-- The newest journal row: its token proves the lineage of the position.
SELECT seq, token FROM _dualdb_journal ORDER BY seq DESC LIMIT 1

-- name: token
-- The token of one journal row.
SELECT token FROM _dualdb_journal WHERE seq = ?

-- name: tail
-- The oldest journal row.
SELECT min(seq) FROM _dualdb_journal

-- name: changes
-- Journal rows behind a position, in order.
SELECT tbl, k1, k2, k3, k4, k5, k6, k7, k8, seq, token FROM _dualdb_journal WHERE seq > ? ORDER BY seq LIMIT ?

-- name: prune
-- Forget a bounded number of journal rows strictly below a position.
DELETE FROM _dualdb_journal WHERE seq < min(?, (SELECT min(seq) FROM _dualdb_journal) + ?)

-- name: pruned
-- Remember how far the journal was forgotten.
UPDATE _dualdb_control SET pruned_through = max(pruned_through, ?)

-- name: numbering
-- Whether the numbers of the tables are still those that were read.
SELECT group_concat(id || ' ' || name) FROM _dualdb_table

-- name: restart
-- Journal that a table must be copied from its beginning.
INSERT INTO _dualdb_journal(tbl, k1) VALUES (0, ?)

-- name: mark
-- Journal a position with nothing in it.
INSERT INTO _dualdb_journal(tbl) VALUES (0)

-- name: prove
-- Remember the catalog that our triggers were proven against.
UPDATE _dualdb_control SET proven_catalog = ?

-- name: watermark
-- What this file holds while it follows, with what tells one state of its copies from another.
SELECT w.epoch, w.position, w.aligned, w.schema_version,
       (SELECT coalesce(sum(rows), 0) FROM _dualdb_copy), (SELECT coalesce(sum(done), 0) FROM _dualdb_copy)
FROM _dualdb_watermark AS w

-- name: copies
-- How far the copy of each table has come.
SELECT tbl, cursor, done, rows FROM _dualdb_copy ORDER BY tbl

-- name: set_watermark
-- Store what this file holds now.
INSERT INTO _dualdb_watermark(id, epoch, position, aligned, schema_version, whole, applied_at)
VALUES (1, ?, ?, ?, ?, 1, (julianday('now') - 2440587.5) * 86400.0)
ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, position = excluded.position, aligned = excluded.aligned,
    schema_version = excluded.schema_version, whole = whole OR excluded.aligned, applied_at = excluded.applied_at

-- name: set_copy
-- Store how far one copy has come.
INSERT INTO _dualdb_copy(tbl, cursor, done, rows) VALUES (?, ?, ?, ?)
ON CONFLICT (tbl) DO UPDATE SET cursor = excluded.cursor, done = excluded.done, rows = excluded.rows

-- name: drop_copy
-- Forget the copy of a table that is gone.
DELETE FROM _dualdb_copy WHERE tbl = ?

-- name: applying
-- Let this transaction pass the fence, or end that.
UPDATE _dualdb_control SET applying = ?

-- name: quarantined
-- Rows that this file could not hold, of one table or of all, and of reasons that begin so. A row's image lies in the
-- tree itself, so they are gone through in its order: to look one up costs as much as to read it.
SELECT tbl, key, reason, image FROM _dualdb_quarantine
WHERE tbl BETWEEN coalesce(:tbl, -1) AND coalesce(:tbl, 9223372036854775807)
    AND substr(reason, 1, length(:reason)) = :reason
ORDER BY tbl, key

-- name: quarantine_counts
-- How many such rows each table has, by name.
SELECT coalesce(t.name, CAST(q.tbl AS text)), count(*)
FROM _dualdb_quarantine AS q LEFT JOIN _dualdb_table AS t ON t.id = q.tbl GROUP BY q.tbl, t.name

-- name: any_quarantined
-- Whether there is such a row at all.
SELECT EXISTS (SELECT 1 FROM _dualdb_quarantine)

-- name: set_quarantined
-- Keep a row that this file cannot hold.
INSERT INTO _dualdb_quarantine(tbl, key, reason, image, noticed_at)
VALUES (?, ?, ?, ?, (julianday('now') - 2440587.5) * 86400.0)
ON CONFLICT (tbl, key) DO UPDATE SET reason = excluded.reason, image = excluded.image

-- name: forget_quarantined
-- A changed key leaves the quarantine; it comes back if its row still does not fit.
DELETE FROM _dualdb_quarantine WHERE tbl = ? AND key = ?

-- name: clear_quarantined
-- A table that is copied anew has no rows in quarantine.
DELETE FROM _dualdb_quarantine WHERE tbl = ?

-- name: set_number
-- Keep a table's number and stored types; a number is never forgotten, so never given to another table.
INSERT INTO _dualdb_table(id, name, stored) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, stored = excluded.stored

-- name: retire_number
-- Another number of the same name, given before the file was restored, gets one that no table of the application has.
UPDATE _dualdb_table SET name = '_dualdb_former_' || id WHERE name = ? COLLATE NOCASE AND id <> ?

-- name: names
-- The tables' numbers and names, those that are gone included.
SELECT id, name FROM _dualdb_table

-- name: proven
-- The catalog that our triggers were proven against.
SELECT proven_catalog FROM _dualdb_control

-- name: triggers
-- All triggers of the file, in the order in which they were made.
SELECT name, tbl_name, sql FROM main.sqlite_master WHERE type = 'trigger' ORDER BY rowid

-- name: kept_triggers
-- The application's triggers that were set aside, in their order.
SELECT ordinal, name, sql FROM _dualdb_trigger WHERE problem IS NULL ORDER BY ordinal

-- name: keep_trigger
-- Set one aside behind all others, unless it is there.
INSERT INTO _dualdb_trigger(name, sql)
SELECT a.name, a.sql FROM (SELECT ? AS name, ? AS sql) AS a
WHERE NOT EXISTS (SELECT 1 FROM _dualdb_trigger AS t WHERE t.sql = a.sql AND t.problem IS NULL)

-- name: forget_triggers
-- None waits for the way back.
DELETE FROM _dualdb_trigger WHERE problem IS NULL

-- name: keep_broken_trigger
-- SQLite did not take it back; its text stays.
UPDATE _dualdb_trigger SET problem = ? WHERE ordinal = ?

-- name: definitions
-- The definition of each table.
SELECT name, sql FROM main.sqlite_master WHERE type = 'table'

-- name: raise_sequence
-- Give no id up to this one again.
UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?

-- name: make_sequence
-- The same for a table that never gave one.
INSERT INTO sqlite_sequence(name, seq) VALUES (?, ?)
