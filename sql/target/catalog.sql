-- name: objects
-- The application's rows of sqlite_master.
SELECT type, name, tbl_name, sql FROM dualdb.object ORDER BY ordinal
-- name: relations
-- Number, name and stored types of each table.
SELECT id, name, stored FROM dualdb.relation ORDER BY id
-- name: checks
-- The names of a table's CHECK constraints as they were written one after the other.
SELECT c.conname FROM pg_constraint AS c JOIN pg_class AS r ON r.oid = c.conrelid
JOIN pg_namespace AS n ON n.oid = r.relnamespace
WHERE c.contype = 'c' AND n.nspname = %s AND r.relname = %s ORDER BY c.oid
