-- Who is the authority, as the SQLite file knows it; one row.
CREATE TABLE _dualdb_control (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    layout INTEGER NOT NULL,               -- version of these tables
    source_id TEXT NOT NULL,               -- lineage: random, made at init
    epoch INTEGER NOT NULL,                -- raised by every change below
    phase TEXT NOT NULL,
    move INTEGER NOT NULL DEFAULT 0,       -- number of the last change of authority this side has heard of
    move_state TEXT NOT NULL DEFAULT 'rest',
    move_to TEXT,
    deadline REAL,                         -- seconds since 1970; liveness only
    fenced_head TEXT,                      -- journal position at the fence
    target TEXT NOT NULL,                  -- 'embedded', or a DSN without its password
    target_schema TEXT NOT NULL,
    target_identity TEXT NOT NULL,         -- system identifier and database of the server
    applying INTEGER NOT NULL DEFAULT 0,   -- 1 only inside a transaction of the relay
    pruned_through INTEGER NOT NULL DEFAULT 0,
    proven_catalog INTEGER NOT NULL DEFAULT 0, -- PRAGMA schema_version that our triggers were last proven against
    verified TEXT                          -- last verification, JSON
);
-- Numbers of the tables in both journals, and how the target stores their columns.
CREATE TABLE _dualdb_table (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    stored TEXT NOT NULL                   -- JSON: column -> target type
);
-- What this file holds while it follows.
CREATE TABLE _dualdb_watermark (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    position TEXT NOT NULL,
    aligned INTEGER NOT NULL,
    schema_version TEXT NOT NULL,
    whole INTEGER NOT NULL,                -- 1 once aligned since everything was last begun to be copied
    applied_at REAL NOT NULL
);
-- How far the copy of each table has come, while this file follows.
CREATE TABLE _dualdb_copy (
    tbl INTEGER PRIMARY KEY,
    cursor TEXT,
    done INTEGER NOT NULL,
    rows INTEGER NOT NULL
);
-- Rows that this file could not hold while it followed, with their exact bytes.
CREATE TABLE _dualdb_quarantine (
    tbl INTEGER NOT NULL,
    key TEXT NOT NULL,
    reason TEXT NOT NULL,
    image BLOB NOT NULL,
    noticed_at REAL NOT NULL,
    PRIMARY KEY (tbl, key)
) WITHOUT ROWID;
-- The application's own triggers, set aside verbatim while this file follows.
CREATE TABLE _dualdb_trigger (
    ordinal INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    sql TEXT NOT NULL,
    problem TEXT                           -- why it was not put back, or will not be; NULL: it waits for the way back
);
