-- The schema that the cases beside this file speak of.
CREATE TABLE job (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  code TEXT COLLATE NOCASE,
  n INTEGER,
  r REAL,
  d DECIMAL,
  flag BOOLEAN DEFAULT 0,
  made TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  raw BLOB,
  UNIQUE (name, n)
);
CREATE TABLE part (job_id INTEGER NOT NULL, label TEXT, PRIMARY KEY (job_id, label)) WITHOUT ROWID;
CREATE TABLE loose (a INTEGER, b TEXT);
CREATE TABLE watched (id INTEGER PRIMARY KEY, v TEXT);
CREATE TABLE guarded (id INTEGER PRIMARY KEY, a TEXT, b TEXT);
CREATE UNIQUE INDEX guarded_a ON guarded (a) WHERE b IS NULL;
CREATE VIEW per_job AS SELECT j.id, j.name, count(p.label) AS parts FROM job j LEFT JOIN part p ON p.job_id = j.id
  GROUP BY j.id;
CREATE TRIGGER watched_insert AFTER INSERT ON watched BEGIN UPDATE watched SET v = 'seen' WHERE id = NEW.id; END;
