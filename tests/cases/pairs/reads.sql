-- Each case: a statement of SQLite, then what PostgreSQL executes.

SELECT name FROM job WHERE id = ?;
SELECT "job"."name" FROM "public"."job" WHERE ("job"."id" = %s::bigint);

-- A name is found in any case and written as declared.
select NAME, [R] from JOB;
SELECT "job"."name", "job"."r" FROM "public"."job";

-- A star leaves the hidden key out; the rowid is that key.
SELECT *, rowid FROM loose;
SELECT "loose"."a", "loose"."b", "loose"."_dualdb_rowid" FROM "public"."loose";

-- NULLs come first; a key that holds none needs no word about them.
SELECT id FROM job ORDER BY r, id DESC;
SELECT "job"."id" FROM "public"."job" ORDER BY "job"."r" NULLS FIRST, "job"."id" DESC;

SELECT id FROM job LIMIT ? OFFSET ?;
SELECT "job"."id" FROM "public"."job" LIMIT sqlite.row_limit(%s::bigint) OFFSET sqlite.row_offset(%s::bigint);

SELECT id FROM job LIMIT -1;
SELECT "job"."id" FROM "public"."job";

-- Division by zero is NULL.
SELECT n / 2, n % r0.n FROM job, (SELECT 2 AS n) AS r0 WHERE 1;
-- refuse

SELECT n / 2, n / n, r / 0 FROM job;
SELECT ("job"."n" / 2), ("job"."n" / nullif("job"."n", 0)), nullif("job"."r"::double precision / nullif(0, 0), 'NaN') FROM "public"."job";

-- A comparison in the result is 0 or 1, a number in a condition is true when it is not zero.
SELECT n > 1 FROM job WHERE flag;
SELECT (("job"."n" > 1))::int::bigint FROM "public"."job" WHERE ("job"."flag" <> 0);

-- A literal takes the column's affinity.
SELECT id FROM job WHERE n = '7' AND name = 7;
SELECT "job"."id" FROM "public"."job" WHERE (("job"."n" = 7) AND ("job"."name" = '7'));

-- NOCASE, and LIKE, fold ASCII letters only.
SELECT id FROM job WHERE code = 'Ä' AND name LIKE 'A%';
SELECT "job"."id" FROM "public"."job" WHERE ((sqlite.nocase("job"."code") = sqlite.nocase(('Ä' COLLATE "C"))) AND (lower("job"."name") LIKE 'a%' ESCAPE ''));

-- A float sum is added up in SQLite's order.
SELECT sum(r) FROM job WHERE d = 1;
SELECT nullif(sum("job"."r" ORDER BY "job"."id") + 0, 'NaN') FROM "public"."job" WHERE ("job"."d" = 1);

SELECT j.name, count(*) FROM job j JOIN part p ON p.job_id = j.id GROUP BY j.id HAVING count(*) > 1;
SELECT "j"."name", count(*) FROM "public"."job" AS "j" JOIN "public"."part" AS "p" ON ("p"."job_id" = "j"."id") GROUP BY "j"."id" HAVING (count(*) > 1);

SELECT parts FROM per_job WHERE id IN (1, 2);
SELECT "per_job"."parts" FROM "public"."per_job" WHERE ("per_job"."id" IN (1, 2));

SELECT id FROM job WHERE name = "double";
SELECT "job"."id" FROM "public"."job" WHERE ("job"."name" = 'double');
