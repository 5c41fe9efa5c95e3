-- What the relay asks of PostgreSQL and writes into it.

-- name: snapshot
-- One snapshot for everything: who is the authority, the heads, what tells one catalog from another.
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT pg_current_snapshot()::text, c.epoch, c.phase, c.target_schema,
       (SELECT seq || ':' || token FROM dualdb.journal ORDER BY seq DESC LIMIT 1),
       (SELECT position FROM dualdb.watermark),
       (SELECT coalesce(sum(hashtextextended(o.type || o.name || o.tbl_name || coalesce(o.sql, ''), o.ordinal)), 0)
        FROM dualdb.object AS o)::text
       || (SELECT coalesce(sum(hashtextextended(r.name || r.stored, r.id)), 0) FROM dualdb.relation AS r)::text,
       (SELECT count(*) FROM dualdb.object WHERE type = 'table') * 5
       = (SELECT count(*) FROM pg_trigger WHERE tgname LIKE '!dualdb\_capture\_%' AND tgenabled = 'A')
       + (SELECT count(*) FROM pg_trigger AS f JOIN pg_trigger AS c USING (tgrelid)
          WHERE f.tgname = '!dualdb_fence' AND c.tgname = '!dualdb_capture_i' AND c.tgenabled = 'A'),
       dualdb.timeline()
FROM dualdb.control AS c

-- name: head
-- The position of everything journaled so far.
SELECT pg_current_snapshot()::text, (SELECT seq || ':' || token FROM dualdb.journal ORDER BY seq DESC LIMIT 1),
       dualdb.timeline()

-- name: make_durable
-- A transaction that changes nothing, but has something in the log: its COMMIT waits until all of the log is on the disk.
SELECT pg_logical_emit_message(true, 'dualdb', '')

-- name: token
-- The token of one journal row.
SELECT token FROM dualdb.journal WHERE seq = %s

-- name: changes
-- Journal rows that a snapshot did not see, in order.
SELECT tbl, key, seq FROM dualdb.journal
WHERE xid >= pg_snapshot_xmin(%(after)s::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, %(after)s::pg_snapshot)
ORDER BY seq LIMIT %(limit)s

-- name: further_changes
-- The same, of those that a second snapshot saw, behind one of them.
SELECT tbl, key, seq FROM dualdb.journal
WHERE xid >= pg_snapshot_xmin(%(after)s::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, %(after)s::pg_snapshot)
  AND pg_visible_in_snapshot(xid, %(until)s::pg_snapshot) AND seq > %(seq)s
ORDER BY seq LIMIT %(limit)s

-- name: moved
-- Whether there is a journal row that a snapshot did not see, or another epoch than it saw.
SELECT EXISTS (
    SELECT 1 FROM dualdb.journal
    WHERE xid >= pg_snapshot_xmin(%(after)s::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, %(after)s::pg_snapshot)
) OR (SELECT epoch FROM dualdb.control) <> %(epoch)s

-- name: prune
-- Forget a bounded number of journal rows that the follower holds, all before the row that proves its position.
DELETE FROM dualdb.journal WHERE seq IN (
    SELECT seq FROM dualdb.journal
    WHERE seq < %(seq)s AND pg_visible_in_snapshot(xid, %(after)s::pg_snapshot)
    ORDER BY seq LIMIT %(limit)s
)

-- name: restart
-- Journal that a table must be copied from its beginning.
INSERT INTO dualdb.journal (tbl, key) VALUES (0, ARRAY[%s::text])

-- name: mark
-- Journal a position with nothing in it.
INSERT INTO dualdb.journal (tbl, key) VALUES (0, '{}')

-- name: watermark
-- What PostgreSQL holds while it follows, and how far the copy of each table has come: in one statement's snapshot.
SELECT w.epoch, w.position, w.aligned, w.schema_version, c.tbl, c.cursor, c.done, c.rows
FROM dualdb.watermark AS w LEFT JOIN dualdb.copy AS c ON true ORDER BY c.tbl

-- name: begin_apply
-- Begin a batch: pass the fence, lock the watermark, read what it is compared with. Nobody's lock is waited for without
-- end: the authority's snapshot may be open meanwhile.
BEGIN;
SET LOCAL dualdb.applying = 'on';
SET LOCAL lock_timeout = '2s';
SELECT w.epoch, w.position, w.aligned::integer, w.schema_version,
       (SELECT coalesce(sum(rows), 0) FROM dualdb.copy)::bigint, (SELECT count(*) FROM dualdb.copy WHERE done),
       EXISTS (SELECT 1 FROM dualdb.quarantine), (SELECT target_schema FROM dualdb.control)
FROM dualdb.watermark AS w FOR UPDATE OF w

-- name: wait_in_line
-- Wait for locks as long as it takes, in this transaction.
SET LOCAL lock_timeout = 0

-- name: set_watermark
-- Store what PostgreSQL holds now.
UPDATE dualdb.watermark
SET epoch = %(epoch)s, position = %(position)s, aligned = %(aligned)s, schema_version = %(schema_version)s,
    whole = whole OR %(aligned)s, applied_at = clock_timestamp()

-- name: set_copy
-- Store how far one copy has come.
INSERT INTO dualdb.copy (tbl, cursor, done, rows) VALUES (%s, %s, %s, %s)
ON CONFLICT (tbl) DO UPDATE SET cursor = excluded.cursor, done = excluded.done, rows = excluded.rows

-- name: drop_copy
-- Forget the copy of a table that is gone.
DELETE FROM dualdb.copy WHERE tbl = %s

-- name: quarantined
-- Rows that PostgreSQL could not hold, of one table or of all, and of reasons that begin so: those beyond one of them, a
-- page of so many, fewer where their images add up to so many bytes, one at least.
WITH page AS (
    SELECT tbl, key, octet_length(image) AS bytes FROM dualdb.quarantine
    WHERE (tbl, key) > (%(after)s, %(key)s) AND tbl = coalesce(%(tbl)s, tbl) AND starts_with(reason, %(reason)s)
    ORDER BY tbl, key LIMIT %(rows)s
), light AS (
    SELECT tbl, key, sum(bytes) OVER (ORDER BY tbl, key) - bytes AS before FROM page
)
SELECT q.tbl, q.key, q.reason, q.image
FROM light JOIN dualdb.quarantine AS q ON (q.tbl, q.key) = (light.tbl, light.key)
WHERE light.before < %(bytes)s ORDER BY q.tbl, q.key

-- name: quarantine_counts
-- How many such rows each table has, by name.
SELECT coalesce(t.name, CAST(q.tbl AS text)), count(*)
FROM dualdb.quarantine AS q LEFT JOIN dualdb.relation AS t ON t.id = q.tbl GROUP BY q.tbl, t.name

-- name: set_quarantined
-- Keep a row that PostgreSQL cannot hold.
INSERT INTO dualdb.quarantine (tbl, key, reason, image) VALUES (%s, %s, %s, %s)
ON CONFLICT (tbl, key) DO UPDATE SET reason = excluded.reason, image = excluded.image

-- name: forget_quarantined
-- Changed keys leave the quarantine; they come back if their rows still do not fit.
DELETE FROM dualdb.quarantine WHERE tbl = %s AND key = ANY(%s)

-- name: clear_quarantined
-- A table that is copied anew has no rows in quarantine.
DELETE FROM dualdb.quarantine WHERE tbl = %s

-- name: take_lease
-- Take the relay lock if it is free, ours, or held by a backend that is gone.
UPDATE dualdb.lease AS l
SET holder = %(holder)s, pid = pg_backend_pid(), beat = clock_timestamp(),
    wanted = CASE WHEN %(foreground)s THEN NULL ELSE wanted END,
    backend_start = (SELECT a.backend_start FROM pg_stat_get_activity(pg_backend_pid()) AS a)
WHERE NOT EXISTS (
    SELECT 1 FROM pg_stat_get_activity(l.pid) AS a
    WHERE l.pid IS NOT NULL AND l.pid <> pg_backend_pid() AND a.backend_start = l.backend_start
) AND (%(foreground)s OR l.wanted IS NULL OR l.wanted < clock_timestamp() - interval '1 second')
RETURNING true

-- name: beat_lease
-- Say that the holder is alive; whether it still holds the lock, and whether a relay in the foreground wants it.
UPDATE dualdb.lease SET beat = clock_timestamp()
WHERE pid = pg_backend_pid() AND holder = %s
RETURNING coalesce(wanted > clock_timestamp() - interval '1 second', false)

-- name: want_lease
-- A relay in the foreground asks one in the background to stand back.
UPDATE dualdb.lease SET wanted = clock_timestamp() WHERE holder NOT LIKE 'foreground %'

-- name: silent_lease
-- A holder that has been silent for too long and whose backend waits for it: a stopped process, not slow work.
SELECT l.pid, l.holder, l.backend_start FROM dualdb.lease AS l, pg_stat_get_activity(l.pid) AS a
WHERE l.pid IS NOT NULL AND l.pid <> pg_backend_pid() AND a.backend_start = l.backend_start
  AND l.beat < clock_timestamp() - make_interval(secs => %s)
  AND (a.state IS DISTINCT FROM 'active' OR a.wait_event_type = 'Client')

-- name: end_backend
-- End that backend, if it is still the same one.
SELECT pg_terminate_backend(a.pid, 1000) FROM pg_stat_get_activity(%s) AS a WHERE a.backend_start = %s

-- name: release_lease
-- Give the relay lock back.
UPDATE dualdb.lease SET holder = NULL, pid = NULL, backend_start = NULL, beat = NULL
WHERE pid = pg_backend_pid() AND holder = %s

-- name: setting
-- Set a parameter of the server for this connection.
SELECT set_config(%s, %s, false)

-- name: make_commits_durable
-- A COMMIT that is answered is on the server's disk.
SELECT set_config('synchronous_commit', 'local', false) WHERE current_setting('synchronous_commit') = 'off'

-- name: names
-- The tables' numbers and names, those that are gone included.
SELECT id, name FROM dualdb.relation

-- name: set_number
-- Keep a table's number and stored types; a number is never forgotten, so never given to another table.
INSERT INTO dualdb.relation (id, name, stored) VALUES (%s, %s, %s)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, stored = excluded.stored

-- name: retire_number
-- Another number of the same name gets one that no table of the application has.
UPDATE dualdb.relation SET name = '_dualdb_former_' || id
WHERE lower(name COLLATE "C") = lower(%s COLLATE "C") AND id <> %s

-- name: forget_numbers
-- The tables were dropped, all of them.
DELETE FROM dualdb.relation

-- name: target_schema
-- The schema that the application's tables are in.
SELECT target_schema FROM dualdb.control

-- name: made
-- The tables and views that dualdb made there.
SELECT type, name FROM dualdb.object WHERE type IN ('table', 'view') ORDER BY name

-- name: existing
-- Those of these tables that are there; somebody may have dropped one past us.
SELECT t FROM unnest(%s::text[]) WITH ORDINALITY AS asked (t, place) WHERE to_regclass(t) IS NOT NULL ORDER BY place

-- name: add_object
-- Describe one object of the application's schema.
INSERT INTO dualdb.object (ordinal, type, name, tbl_name, sql) VALUES (%s, %s, %s, %s, %s)

-- name: forget_objects
-- Describe none.
DELETE FROM dualdb.object

-- name: schemas
-- The names that are taken among schemas.
SELECT nspname FROM pg_namespace

-- name: captured
-- How many of these triggers are on a table and fire, and how many of its fence, whether that is up or not.
SELECT count(*) FILTER (WHERE tgname = ANY(%s) AND tgenabled = 'A'), count(*) FILTER (WHERE tgname = %s)
FROM pg_trigger WHERE tgrelid = to_regclass(%s)

-- name: sequences_of
-- The sequences of automatic ids; NULL when somebody has dropped or renamed its table or column past us.
SELECT place, CASE WHEN EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass(tbl) AND attname = col AND NOT attisdropped
) THEN pg_get_serial_sequence(tbl, col) END
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS asked (tbl, col, place)

-- name: set_sequences
-- Let each sequence go on behind a number; 0: from its beginning.
SELECT setval(s::regclass, greatest(mark, 1), mark > 0) FROM unnest(%s::text[], %s::bigint[]) AS raised (s, mark)

-- name: lift_sequences
-- The same, and turn none back.
SELECT sqlite.pass_over(s::regclass, mark) FROM unnest(%s::text[], %s::bigint[]) AS lifted (s, mark)

-- name: wait_for_locks
-- How long this transaction waits for each lock, in milliseconds; '0': without end.
SELECT set_config('lock_timeout', %s, true)

-- name: hold_briefly
-- How long this transaction may stand still, in milliseconds, before the server ends it: a process that was stopped would
-- keep its locks for ever.
SELECT set_config('idle_in_transaction_session_timeout', %s, true)

-- name: end_holders
-- End the transactions that keep a lock on these tables which the fence has to wait for.
SELECT pg_terminate_backend(a.pid, 1000) FROM pg_stat_activity AS a
WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND a.pid IN (
    SELECT l.pid FROM pg_locks AS l
    WHERE l.granted AND l.relation = ANY(%s::regclass[]::oid[])
      AND l.mode IN ('RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock',
                     'ExclusiveLock', 'AccessExclusiveLock')
)
