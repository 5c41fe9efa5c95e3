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

-- name: relations
-- The names of all that is in that schema, and whether it is a table that a rule rewrites statements on.
SELECT c.relname, c.relkind IN ('r', 'p') AND EXISTS (SELECT 1 FROM pg_rewrite AS r WHERE r.ev_class = c.oid)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = %s

-- name: triggers
-- How many of these triggers of ours each table has, and whether its fence is up.
SELECT c.relname, count(*), coalesce(bool_or(t.tgname = %s AND t.tgenabled = 'A'), false)
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND t.tgname = ANY(%s) GROUP BY c.relname

-- name: functions
-- The functions that give PostgreSQL SQLite's behaviour.
SELECT p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')'
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = 'sqlite'
