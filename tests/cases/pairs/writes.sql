-- Each case: a statement of SQLite, then what PostgreSQL executes, one step after the other.

INSERT INTO loose (a, b) VALUES (?, 'x');
INSERT INTO "public"."loose" ("a", "b") VALUES (%s::bigint, 'x') RETURNING "loose"."_dualdb_rowid";

-- An id given by the application raises the sequence.
INSERT INTO job (id, name) VALUES (?, ?);
INSERT INTO "public"."job" ("id", "name") VALUES (sqlite.claim_id('"public"."job"', 'id', %s::bigint), %s::text) RETURNING "job"."id";

-- OR REPLACE deletes what conflicts on any unique key first.
INSERT OR REPLACE INTO job (id, name, n) VALUES (1, ?, 2);
DELETE FROM "public"."job" WHERE ("id" = 1) OR ("name" = %s::text AND "n" = 2);
INSERT INTO "public"."job" ("id", "name", "n") VALUES (sqlite.claim_id('"public"."job"', 'id', 1), %s::text, 2) RETURNING "job"."id";

-- A part of the key that is NULL conflicts with nothing.
REPLACE INTO job (name) VALUES ('x');
INSERT INTO "public"."job" ("name") VALUES ('x') RETURNING "job"."id";

INSERT OR REPLACE INTO part VALUES (1, 'a'), (2, 'b');
DELETE FROM "public"."part" WHERE "job_id" = 1 AND "label" = 'a';
INSERT INTO "public"."part" ("job_id", "label") VALUES (1, 'a');
DELETE FROM "public"."part" WHERE "job_id" = 2 AND "label" = 'b';
INSERT INTO "public"."part" ("job_id", "label") VALUES (2, 'b');

INSERT OR IGNORE INTO part VALUES (?, ?);
INSERT INTO "public"."part" ("job_id", "label") SELECT %s::bigint, %s::text WHERE %s::bigint IS NOT NULL AND %s::text IS NOT NULL ON CONFLICT DO NOTHING;

INSERT INTO part VALUES (1, 'a') ON CONFLICT (label, job_id) DO UPDATE SET label = excluded.label || '!' RETURNING label;
INSERT INTO "public"."part" ("job_id", "label") VALUES (1, 'a') ON CONFLICT ("job_id", "label") DO UPDATE SET "label" = ("excluded"."label" || '!') RETURNING "part"."label";

UPDATE job SET n = n + 1, flag = 'no' WHERE id = :id;
-- refuse

UPDATE job SET r = r + 1, flag = 1 WHERE id = :id;
UPDATE "public"."job" SET "r" = (nullif("job"."r" + 1, 'NaN') + 0), "flag" = 1 WHERE ("job"."id" = %s::bigint);

DELETE FROM job WHERE name LIKE '10%';
DELETE FROM "public"."job" WHERE (lower("job"."name") LIKE '10%' ESCAPE '');

-- Refused: another unique key would be changed in several rows, triggers, partial unique keys, lost meanings.
INSERT INTO watched (v) VALUES (1);
-- refuse

INSERT OR REPLACE INTO guarded (a) VALUES (1);
-- refuse

INSERT INTO job (name) SELECT name FROM job j, part p;
-- refuse
