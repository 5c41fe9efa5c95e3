-- Everything of ours on the target, the application's tables apart.
CREATE SCHEMA dualdb;
-- Who is the authority, as PostgreSQL knows it; one row.
CREATE TABLE dualdb.control (
    id integer PRIMARY KEY CHECK (id = 1),
    layout integer NOT NULL,
    source_id text NOT NULL,
    epoch bigint NOT NULL,
    phase text NOT NULL,
    move bigint NOT NULL DEFAULT 0,
    move_state text NOT NULL DEFAULT 'rest',
    move_to text,
    deadline double precision,
    fenced_head text,
    target_schema text NOT NULL,
    verified text,
    -- another one after each change of this row, and of the application's schema while PostgreSQL is the authority
    version bigint NOT NULL DEFAULT floor(random() * 9007199254740992)::bigint
);
-- Whoever has PostgreSQL open by its address has no hint beside a file: this tells him at once.
CREATE FUNCTION dualdb.announce() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    NEW.version := floor(random() * 9007199254740992)::bigint;
    PERFORM pg_notify('dualdb', NEW.version::text);
    RETURN NEW;
END
$$;
CREATE TRIGGER announce BEFORE UPDATE ON dualdb.control FOR EACH ROW EXECUTE FUNCTION dualdb.announce();
-- Who begins a transaction with another version in mind begins none.
CREATE FUNCTION dualdb.outdated() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'dualdb:outdated: the schema or the authority is another by now' USING ERRCODE = 'DD010';
END
$$;
-- Numbers of the tables in both journals, and how their columns are stored here.
CREATE TABLE dualdb.relation (
    id integer PRIMARY KEY,
    name text NOT NULL,
    stored text NOT NULL
);
-- The application's schema as SQLite text: its rows of sqlite_master.
CREATE TABLE dualdb.object (
    ordinal integer PRIMARY KEY,
    type text NOT NULL,
    name text NOT NULL,
    tbl_name text NOT NULL,
    sql text
);
-- Which rows changed while PostgreSQL is the authority: table and key, no row images.
CREATE TABLE dualdb.journal (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    tbl integer NOT NULL,
    key text[] NOT NULL,
    -- the transaction's own where the driver gave it one, so that it can ask for what became of it
    token bigint NOT NULL DEFAULT coalesce(
        nullif(current_setting('dualdb.token', true), '')::bigint, floor(random() * 9007199254740992)::bigint
    )
);
CREATE INDEX journal_xid ON dualdb.journal (xid);
-- How far the journal was pruned where no SQLite file follows: one row then, and none where a relay does that.
CREATE TABLE dualdb.pruning (
    id integer PRIMARY KEY CHECK (id = 1),
    -- rows of earlier transactions may be gone
    through xid8 NOT NULL,
    -- what goes next, when it has been everybody's past for long enough
    next xid8 NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- What PostgreSQL holds while it follows.
CREATE TABLE dualdb.watermark (
    id integer PRIMARY KEY CHECK (id = 1),
    epoch bigint NOT NULL,
    position text NOT NULL,
    aligned boolean NOT NULL,
    schema_version text NOT NULL,
    -- whether it was aligned at some time since everything was last begun to be copied
    whole boolean NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE dualdb.copy (
    tbl integer PRIMARY KEY,
    cursor text,
    done boolean NOT NULL,
    rows bigint NOT NULL
);
-- Rows that PostgreSQL could not hold, with their exact bytes.
CREATE TABLE dualdb.quarantine (
    tbl integer NOT NULL,
    key text NOT NULL,
    reason text NOT NULL,
    image bytea NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tbl, key)
);
-- The relay lock, in both directions: who relays, on which backend, and when it was last heard of.
CREATE TABLE dualdb.lease (
    id integer PRIMARY KEY CHECK (id = 1),
    holder text,
    pid integer,
    backend_start timestamptz,
    beat timestamptz,
    wanted timestamptz
);
INSERT INTO dualdb.lease (id) VALUES (1);
-- Empty for ever: the lock on it serialises write transactions as SQLite's write lock does.
CREATE TABLE dualdb.writer ();
