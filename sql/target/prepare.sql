-- What `dualdb init` asks of a database before it makes anything there.

-- name: identity
-- Which server and database this is: the system identifier survives restarts and fail-over, not a new cluster.
SELECT system_identifier::text || ':' || (SELECT oid FROM pg_database WHERE datname = current_database())
FROM pg_catalog.pg_control_system()

-- name: user
-- Whom the server takes us for.
SELECT quote_ident(current_user)

-- name: rights
-- Who asks where, and whether they may make schemas in this database, and tables in this schema; NULL: it is not there.
SELECT quote_ident(current_user), quote_ident(current_database()),
       has_database_privilege(current_database(), 'CREATE'), quote_ident(%(schema)s),
       (SELECT has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE')
        FROM pg_namespace WHERE nspname = %(schema)s)

-- name: relations
-- What a schema holds already.
SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') ORDER BY 1

-- name: stay_open
-- Let this transaction idle for longer than a careful server allows: the block may have to wait for the SQLite file.
SELECT set_config('idle_in_transaction_session_timeout', '0', true)

-- name: foreign
-- A schema of somebody else's, of the name that our functions go to.
SELECT nspname FROM pg_namespace
WHERE nspname = 'sqlite' AND obj_description(oid, 'pg_namespace') IS DISTINCT FROM 'made by dualdb'
