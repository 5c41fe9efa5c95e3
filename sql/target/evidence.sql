-- What verification asks of PostgreSQL besides its rows, and what it notes there.

-- name: kept
-- The last verification that was noted here.
SELECT verified FROM dualdb.control

-- name: keep
-- Note a verification.
UPDATE dualdb.control SET verified = %s

-- name: objects
-- The names of all indexes and views in the application's schema.
SELECT relname FROM pg_class WHERE relnamespace = %s::text::regnamespace AND relkind IN ('i', 'I', 'v')

-- name: sequence
-- What an automatic id's sequence has given out last, and whether it has given out anything.
SELECT last_value, is_called FROM {sequence}

-- name: dirty
-- Journal the key of a row, so that the relay carries it again.
INSERT INTO dualdb.journal (tbl, key) VALUES (%s, %s)
