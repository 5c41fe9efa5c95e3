-- What the application's tables are on PostgreSQL, to be held against what was made there.

-- name: at_once
-- All that follows is as of one moment.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: standing
-- Where the application's tables are, and the phase as PostgreSQL knows it.
SELECT target_schema, phase FROM dualdb.control

-- name: columns
-- Table, column, type and collation of what these tables have.
SELECT c.relname, a.attname, format_type(a.atttypid, NULL), coalesce(o.collname, '')
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_collation AS o ON o.oid = a.attcollation
WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p') ORDER BY c.relname, a.attnum

-- name: functions
-- The names of the functions that give PostgreSQL SQLite's behaviour.
SELECT DISTINCT p.proname FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = 'sqlite'
