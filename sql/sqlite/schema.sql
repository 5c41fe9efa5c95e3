-- The schema of the functions that give PostgreSQL SQLite's behaviour. Each may be created again over itself; none needs a
-- superuser.

CREATE SCHEMA IF NOT EXISTS sqlite;
-- By this it is known for ours.
COMMENT ON SCHEMA sqlite IS 'made by dualdb';
-- Whoever may insert a row runs the triggers that call them.
GRANT USAGE ON SCHEMA sqlite TO PUBLIC;
