-- # values: what operators, casts and comparisons make of integers, floats, texts, blobs and NULL
-- setup
CREATE TABLE one (id INTEGER PRIMARY KEY); -- a query without a table would never reach PostgreSQL
INSERT INTO one VALUES (1);
CREATE TABLE item (
  id INTEGER PRIMARY KEY,
  name TEXT,
  quantity INTEGER,
  price REAL,
  discount NUMERIC,
  picture BLOB
);
INSERT INTO item VALUES
  (1, 'bolt', 7, 0.1, 10, x'00ff'),
  (2, 'nut', -7, 0.2, 2.5, x''),
  (3, '10', 0, 2.0, NULL, x'3130'),
  (4, '9', 10, -0.0, -3, NULL),
  (5, '', NULL, NULL, 0, x'4142'),
  (6, NULL, 9223372036854775807, 1e100, 100, NULL),
  (7, '1e3', -9223372036854775808, 1000.0, 0.5, x'ff'),
  (8, ' 12abc', 3, 3.0, 3, x'31326162');
CREATE TABLE mixed (id INTEGER PRIMARY KEY, note);
INSERT INTO mixed VALUES (1, 'first'), (2, 2), (3, 2.0), (4, x'3130'), (5, NULL), (6, '10'), (7, 10), (8, 10.5);
CREATE TABLE flag (name TEXT PRIMARY KEY, is_set BOOLEAN NOT NULL DEFAULT 0);
INSERT INTO flag VALUES ('dark', 1), ('beta', 0), ('sound', TRUE);
CREATE TABLE wanted (id INTEGER, name TEXT);
INSERT INTO wanted VALUES (1, 'bolt'), (3, '10'), (NULL, 'nut'), (6, NULL);

-- ## operators over integer, real, text, blob and NULL
SELECT 1 + 2, 1 + 2.0, 7 - 10, 6 * 7, 6 * 0.5, 1.0 / 3, -(-5), +'5' FROM one;

SELECT '5' + 1, '5' + '6', '5.5' + 1, 'abc' + 1, '' + 0, '12abc' * 2, ' 7 ' - 2, '1e2' + 0 FROM one;

SELECT x'3132' + 1, x'' + 1, -x'35', x'312e35' * 2, 'a' * 'b' FROM one;

SELECT NULL + 1, 1 - NULL, NULL * 0, NULL / 0, -NULL, NULL || 'a', NOT NULL FROM one;

SELECT quantity + 1, quantity * price, price / quantity, discount + 0.5 FROM item WHERE id < 6 ORDER BY id;

SELECT id, name + 0, name * 1.0, -name, name - 1 FROM item ORDER BY id;

SELECT id, note + 1, note * 2, -note, typeof(note + 0) FROM mixed ORDER BY id;

SELECT id, picture + 0, picture || '', typeof(picture || 'x') FROM item WHERE id <> 7 AND id <> 1 ORDER BY id;

SELECT -'abc', +'abc', - '5x', typeof(-'5x'), typeof(+'5x'), - - 3, -0.0, 0 - 0.0 FROM one;

SELECT 2 + 3 * 4 - 10 % 4, (2 + 3) * 4, 2 * 3 || 4, 1 || 2 + 3, 10 - 2 - 3, 100 / 10 / 5 FROM one;

SELECT 1 < 2 < 3, 3 > 2 > 1, 1 = 1 = 1, 5 BETWEEN 1 AND 10 AND 0, NOT 0 + 1, ~1 + 1 FROM one;

-- given: (2, '3')
SELECT ? + ?, ?1 * ?2, ?1 || ?2, typeof(?2 + 0) FROM one;

-- given: (None, 1.5, b'7', '7')
SELECT ?1 + 1, ?2 * 2, ?3 + 1, ?4 + 1, ?3 || ?4, typeof(?3), typeof(?2) FROM one;

SELECT sum(quantity * price), sum(price), sum(quantity) FROM item WHERE id IN (1, 2, 3, 8);

SELECT 0.1 + 0.2, 0.1 + 0.2 = 0.3, 1e15 + 0.3, 100 * 1.1, 3 * 0.1, 1.0 - 0.9 FROM one;

-- ## integer division and modulo by zero
SELECT 7 / 2, -7 / 2, 7 / -2, -7 / -2, 1 / 3, 0 / 5 FROM one;

SELECT 7 % 3, -7 % 3, 7 % -3, -7 % -3, 5 % 1, 0 % 5 FROM one;

SELECT 1 / 0, 1 % 0, 0 / 0, 1.0 / 0, 1 / 0.0, 0.0 / 0.0, 5.5 % 0 FROM one;

SELECT 7 / 2.0, 7.0 / 2, '7' / 2, '7.0' / 2, 7 / '2', '7' / '2' FROM one;

SELECT 7.9 % 4, -7.9 % 4, 7 % 2.9, 7 % 0.5, 1e20 % 7, '17x' % 5 FROM one;

SELECT id, quantity / 2, quantity % 2, quantity / 2.0 FROM item ORDER BY id;

SELECT id, 10 / quantity, 10 % quantity, 10 / price, 10 % price FROM item ORDER BY id;

SELECT id, discount / 2, discount % 2, discount / 0 FROM item ORDER BY id;

SELECT id, 100 / name, 100 % name FROM item ORDER BY id;

SELECT sum(quantity) / count(*), sum(quantity) % 3, avg(quantity) FROM item WHERE id < 6;

-- given: (7, 0)
SELECT ?1 / ?2, ?1 % ?2, coalesce(?1 / ?2, -1) FROM one;

-- given: (7, 2.0)
SELECT ?1 / ?2, ?1 % ?2, typeof(?1 % ?2) FROM one;

SELECT quantity / 5 AS bucket, count(*) FROM item WHERE abs(price) < 100 GROUP BY bucket ORDER BY bucket;

SELECT 3661 / 3600 || ':' || 3661 % 3600 / 60 || ':' || 3661 % 60 FROM one;

SELECT NULL / 2, 2 % NULL, x'37' / 2, 'a' / 2, 2 / 'a', '' % 3 FROM one;

SELECT 9223372036854775807 / -1, 9223372036854775807 % -1, 9223372036854775807 / 2 FROM one;

-- ## overflow to REAL
SELECT 9223372036854775807 + 1, typeof(9223372036854775807 + 1) FROM one;

SELECT -9223372036854775808 - 1, -9223372036854775807 - 2, typeof(-9223372036854775807 - 2) FROM one;

SELECT 9223372036854775807 * 2, 4294967296 * 4294967296, 3037000500 * 3037000500, 3037000499 * 3037000499 FROM one;

SELECT -9223372036854775808 / -1, -9223372036854775808 % -1, -(-9223372036854775808), 0 - -9223372036854775808 FROM one;

SELECT id, quantity + 1, quantity - 1, quantity * 2, typeof(quantity * 2) FROM item ORDER BY id;

SELECT id FROM item WHERE quantity + 1 > 9223372036854775807 ORDER BY id;

SELECT sum(quantity) FROM item WHERE id < 6;

-- raises: OperationalError
SELECT sum(quantity) FROM (SELECT quantity FROM item WHERE id IN (1, 6));

-- raises: OperationalError
SELECT abs(-9223372036854775808) FROM one;

SELECT total(quantity), avg(quantity) FROM item WHERE id IN (1, 6);

SELECT 9223372036854775808, typeof(9223372036854775808), -9223372036854775808, typeof(-9223372036854775808) FROM one;

-- given: (9223372036854775807, 1)
SELECT ?1 + ?2, ?1 * ?2, ?1 - -1, typeof(?1 + ?2) FROM one;

SELECT 99999999999999999999, 12345678901234567890123, 1e308 * 10, -1e308 * 10 FROM one;

SELECT 1e18 * 10, 1000000000 * 1000000000 * 10, 86400000000 * 365 * 1000 FROM one;

UPDATE item SET quantity = quantity + 1 WHERE id = 1;

UPDATE mixed SET note = (SELECT quantity + 1 FROM item WHERE item.id = mixed.id);
SELECT id, note, typeof(note) FROM mixed ORDER BY id;

-- ## CAST of anything
SELECT CAST('123' AS INTEGER), CAST('12abc' AS INTEGER), CAST('abc' AS INTEGER), CAST('' AS INTEGER), CAST(' 42 ' AS INTEGER), CAST('-7.9' AS INTEGER), CAST('1e3' AS INTEGER) FROM one;

SELECT CAST(3.99 AS INTEGER), CAST(-3.99 AS INTEGER), CAST(1e30 AS INTEGER), CAST(-1e30 AS INTEGER), CAST(0.5 AS INTEGER) FROM one;

SELECT CAST('3.14abc' AS REAL), CAST('abc' AS REAL), CAST('.5' AS REAL), CAST('1e400' AS REAL), CAST(7 AS REAL), CAST(x'312e35' AS REAL) FROM one;

SELECT CAST(1 AS TEXT), CAST(1.0 AS TEXT), CAST(0.1 AS TEXT), CAST(1e100 AS TEXT), CAST(123456789.123 AS TEXT), CAST(-0.0 AS TEXT), CAST(x'414243' AS TEXT) FROM one;

SELECT CAST('10' AS NUMERIC), CAST('10.0' AS NUMERIC), CAST('10.5' AS NUMERIC), CAST('x' AS NUMERIC), CAST('1e5' AS NUMERIC), CAST(3.0 AS NUMERIC), CAST('9223372036854775808' AS NUMERIC) FROM one;

SELECT CAST('abc' AS BLOB), CAST(12 AS BLOB), CAST(1.5 AS BLOB), CAST(x'00ff' AS BLOB), typeof(CAST('a' AS BLOB)) FROM one;

SELECT CAST(NULL AS INTEGER), CAST(NULL AS TEXT), CAST(NULL AS BLOB), typeof(CAST(NULL AS REAL)) FROM one;

SELECT CAST('12' AS VARCHAR(1)), CAST(12.7 AS BIGINT), CAST('12.7' AS FLOAT), CAST('1' AS BOOLEAN), CAST(12 AS CHARACTER(20)), CAST('2024-01-02' AS DATE), CAST('12' AS DECIMAL(10, 2)) FROM one;

SELECT id, CAST(name AS INTEGER), CAST(name AS REAL), CAST(name AS NUMERIC) FROM item ORDER BY id;

SELECT id, CAST(quantity AS TEXT), CAST(price AS TEXT), CAST(price AS INTEGER), CAST(discount AS TEXT) FROM item ORDER BY id;

SELECT id, CAST(note AS TEXT), CAST(note AS INTEGER), typeof(CAST(note AS NUMERIC)) FROM mixed ORDER BY id;

-- given: ('42', 42, 4.2, b'42')
SELECT CAST(?1 AS INTEGER), CAST(?2 AS TEXT), CAST(?3 AS INTEGER), CAST(?4 AS INTEGER), CAST(?4 AS TEXT) FROM one;

SELECT CAST(CAST(3.7 AS INTEGER) AS TEXT) || '!', CAST('0x1A' AS INTEGER), CAST('+5' AS INTEGER), CAST('- 5' AS INTEGER) FROM one;

SELECT CAST('9223372036854775808' AS INTEGER), CAST('-9223372036854775809' AS INTEGER), CAST(9.3e18 AS INTEGER), CAST('99999999999999999999' AS REAL) FROM one;

SELECT count(*) FROM item WHERE CAST(name AS INTEGER) > 5;

SELECT name FROM item ORDER BY CAST(name AS INTEGER) DESC, id;

-- ## bit operators
SELECT 6 & 3, 6 | 3, ~6, ~0, ~-1, 1 << 4, 256 >> 2 FROM one;

SELECT 1 << 62, 1 << 63, 1 << 64, 1 << 100, -1 << 1, 5 << 0 FROM one;

SELECT -1 >> 1, -1 >> 63, -1 >> 64, 8 >> 100, -8 >> 1, -8 >> 100 FROM one;

SELECT 1 << -1, 8 >> -2, 1 << -64, 2 << -1, -2 >> -1 FROM one;

SELECT 6.9 & 3, '6' | 1, 'abc' | 1, ~'5', ~2.9, x'36' & 7, 7 & '3x' FROM one;

SELECT NULL & 1, 1 | NULL, ~NULL, NULL << 1, 1 >> NULL, 0 & NULL FROM one;

SELECT id, quantity & 1, quantity | 8, ~quantity FROM item ORDER BY id;

SELECT id FROM item WHERE quantity & 2 ORDER BY id;

SELECT id FROM item WHERE (quantity & 3) = 3 AND NOT quantity & 4 ORDER BY id;

SELECT id, 1 << id, 1024 >> id, id << id FROM item ORDER BY id;

-- given: (12, 10)
SELECT ?1 & ?2, ?1 | ?2, (?1 | ?2) - (?1 & ?2) AS xor, ~?1 FROM one;

UPDATE item SET quantity = (quantity | 16) & ~1 WHERE id IN (1, 8);

SELECT 1 | 2 + 4, 1 + 2 & 3, 1 << 2 + 1, 5 & 3 = 1, 2 | 1 << 3 FROM one;

SELECT 9223372036854775807 & -1, -9223372036854775808 | 1, 9223372036854775807 << 1, 1e19 & 1 FROM one;

-- ## hex and blob literals
SELECT 0x10, 0XFF, 0xffffffffffffffff, 0x7fffffffffffffff, 0x8000000000000000, -0x10 FROM one;

SELECT 0x10 + 1, 0xF & 0x3, 0x1F / 2, typeof(0x10), '0x10' + 0, CAST('0x10' AS INTEGER) FROM one;

SELECT x'', X'00', x'DEADBEEF', x'deadbeef' = x'DEADBEEF', typeof(x''), length(x'000000') FROM one;

SELECT hex(x'00ff10'), hex('abc'), hex(123), hex(NULL), hex('é') FROM one;

SELECT id, hex(picture), length(picture), typeof(picture) FROM item ORDER BY id;

SELECT id FROM item WHERE picture = x'00ff' ORDER BY id;

SELECT id FROM item WHERE picture > x'30' ORDER BY picture, id;

SELECT x'4142' = 'AB', x'4142' < 'AB', x'4142' > 'zz', CAST(x'4142' AS TEXT) = 'AB' FROM one;

SELECT zeroblob(4), length(zeroblob(10)), hex(zeroblob(2)), typeof(zeroblob(0)) FROM one;

SELECT x'41' || x'42', typeof(x'41' || x'42'), 'a' || x'62', substr(x'010203', 2, 1), substr(x'010203', -1) FROM one;

INSERT INTO item (id, picture) VALUES (20, x'0001');
INSERT INTO mixed (id, note) VALUES (20, X'feff');
SELECT picture, note FROM item JOIN mixed USING (id) WHERE id = 20;

-- given: (b'\x00\xff',)
SELECT id FROM item WHERE picture = ?;

-- given: (b'', b'\x00')
SELECT ?1, ?2, length(?1), length(?2), typeof(?1), ?1 = x'', hex(?2) FROM one;

SELECT max(picture), min(picture), count(DISTINCT picture) FROM item;

SELECT picture FROM item WHERE picture IN (x'', x'4142', 'AB') ORDER BY picture;

-- ## booleans as 0 and 1
SELECT TRUE, FALSE, NOT TRUE, TRUE + TRUE, typeof(TRUE), TRUE = 1, FALSE = 0 FROM one;

SELECT 1 = 1, 1 = 2, 'a' < 'b', NULL = NULL, 1 AND 0, 1 OR NULL, 0 AND NULL, 1 AND NULL FROM one;

SELECT NOT 5, NOT 0, NOT 0.0, NOT 'abc', NOT '1', NOT '0.1', NOT '', NOT NULL, NOT x'31' FROM one;

SELECT name FROM flag WHERE is_set ORDER BY name;

SELECT name FROM flag WHERE NOT is_set;

SELECT name, is_set = 1, is_set + 1, is_set IS TRUE, typeof(is_set) FROM flag ORDER BY name;

SELECT sum(is_set), sum(name > 'c'), count(*) FILTER (WHERE is_set), avg(is_set) FROM flag;

-- given: (True, False)
SELECT ?1, ?2, ?1 + 1, typeof(?1), NOT ?2 FROM one;

-- given: (True, 'dark')
UPDATE flag SET is_set = NOT ? WHERE name = ?;

-- given: ('new', True)
INSERT INTO flag (name, is_set) VALUES (?, ?);
SELECT * FROM flag WHERE is_set ORDER BY name;

SELECT id FROM item WHERE price ORDER BY id;

SELECT id FROM item WHERE name ORDER BY id;

SELECT CASE WHEN 0.4 THEN 'yes' ELSE 'no' END, CASE WHEN 'x' THEN 'yes' ELSE 'no' END, CASE WHEN NULL THEN 'yes' ELSE 'no' END, iif('1x', 1, 2) FROM one;

SELECT count(*) FROM item WHERE TRUE AND quantity > 0 = FALSE;

SELECT EXISTS (SELECT 1 FROM flag WHERE is_set), NOT EXISTS (SELECT 1 FROM flag), 3 IN (1, 2), 'a' LIKE 'A', EXISTS (SELECT NULL) + 1;

UPDATE flag SET is_set = name LIKE 'b%';
SELECT name, is_set FROM flag ORDER BY name;

SELECT max(1 = 1, 0), coalesce(NULL > 1, 1 > 0), (1 > 0) || '', (SELECT 2 > 1) * 10 FROM one;

-- ## IS
SELECT NULL IS NULL, 1 IS NULL, NULL IS NOT NULL, 1 IS 1, 1 IS 2, 1 IS NOT 2, 'a' IS 'a', NULL IS 1 FROM one;

SELECT id FROM item WHERE name IS NULL ORDER BY id;

SELECT id FROM item WHERE quantity IS NOT NULL AND price IS NULL ORDER BY id;

SELECT id FROM item WHERE picture ISNULL OR discount ISNULL ORDER BY id;

SELECT id FROM mixed WHERE note NOTNULL AND note NOT NULL ORDER BY id;

SELECT id FROM item WHERE quantity IS 7 OR quantity IS NOT 7 AND id > 6 ORDER BY id;

SELECT a.id, b.id FROM item a JOIN wanted b ON a.name IS b.name ORDER BY a.id, b.id;

SELECT 1 IS TRUE, 2 IS TRUE, 0 IS TRUE, NULL IS TRUE, 0 IS NOT TRUE, NULL IS NOT FALSE, 'a' IS TRUE, 0.5 IS TRUE FROM one;

SELECT 1 IS DISTINCT FROM 2, NULL IS DISTINCT FROM NULL, 1 IS NOT DISTINCT FROM 1, NULL IS NOT DISTINCT FROM 0 FROM one;

-- given: (None,)
SELECT id FROM item WHERE name IS ? ORDER BY id;

-- given: ('bolt',)
SELECT id FROM item WHERE name IS ? ORDER BY id;

-- given: (None, None)
SELECT ?1 IS ?2, ?1 = ?2, ?1 IS NOT ?2, ?1 IS 1 FROM one;

SELECT 1 IS 1.0, 1 IS '1', '1' IS x'31', 0.0 IS -0.0, 'a' IS 'A' COLLATE NOCASE FROM one;

SELECT id, note IS 10, note IS '10', note IS 2, note IS NOT NULL FROM mixed ORDER BY id;

SELECT name, is_set IS TRUE, is_set IS NOT TRUE, is_set IS FALSE FROM flag ORDER BY name;

-- ## row values
SELECT (1, 2) = (1, 2), (1, 2) < (1, 3), (1, 2) <> (1, 2), (2, 1) > (1, 9), (1, NULL) = (1, NULL), (1, NULL) = (2, NULL) FROM one;

SELECT (1, 2) IS (1, 2), (1, NULL) IS (1, NULL), (1, NULL) IS NOT (1, 2) FROM one;

SELECT (1, 'b') BETWEEN (1, 'a') AND (2, 'a'), (1, 2, 3) <= (1, 2, 3), (1, NULL, 3) < (2, 1, 1) FROM one;

SELECT id FROM item WHERE (id, name) = (1, 'bolt');

SELECT id FROM item WHERE (quantity, id) > (0, 3) ORDER BY quantity, id;

-- given: (7, 0, 3)
SELECT id, quantity FROM item WHERE (quantity, id) < (?, ?) ORDER BY quantity DESC, id DESC LIMIT ?;

SELECT id FROM item WHERE (id, name) IN (SELECT id, name FROM wanted) ORDER BY id;

SELECT id FROM item WHERE (id, name) IN (VALUES (1, 'bolt'), (2, 'bolt'), (8, ' 12abc')) ORDER BY id;

SELECT id FROM item WHERE (id, name) NOT IN (SELECT id, name FROM wanted WHERE id IS NOT NULL AND name IS NOT NULL) ORDER BY id;

UPDATE item SET (name, quantity) = ('screw', 5) WHERE id = 2;

UPDATE item SET (name, price) = (SELECT name, id * 1.5 FROM wanted WHERE wanted.id = item.id) WHERE id < 4;

SELECT (SELECT 1, 2) = (1, 2), (1, 2) = (SELECT id, quantity - 5 FROM item WHERE id = 1);

-- raises: OperationalError
SELECT (1, 2) FROM one;

-- raises: OperationalError
SELECT (1, 2) = (1, 2, 3) FROM one;

SELECT CASE (1, 2) WHEN (1, 2) THEN 'same' ELSE 'other' END FROM one;

-- ## IN with lists, tables and empty lists
SELECT 1 IN (1, 2), 3 IN (1, 2), NULL IN (1, 2), 1 IN (NULL, 1), 3 IN (NULL, 1), 3 NOT IN (NULL, 1) FROM one;

SELECT 1 IN (), NULL IN (), 1 NOT IN (), NULL NOT IN () FROM one;

SELECT 1 IN ('1'), '1' IN (1), 1 IN (1.0), 'a' IN ('A'), 1 IN (x'31'), 1 IN (TRUE) FROM one;

SELECT id FROM item WHERE id IN (1, 3, 5, 99) ORDER BY id;

SELECT id FROM item WHERE name IN ('bolt', '10', 9) ORDER BY id;

SELECT id FROM item WHERE quantity IN ('7', 0.0, '3.0') ORDER BY id;

SELECT id FROM mixed WHERE note IN (2, '10', 10.5) ORDER BY id;

SELECT id FROM item WHERE id IN (SELECT id FROM wanted) ORDER BY id;

SELECT id FROM item WHERE id NOT IN (SELECT id FROM wanted) ORDER BY id;

SELECT id FROM item WHERE id NOT IN (SELECT id FROM wanted WHERE id IS NOT NULL) ORDER BY id;


SELECT name FROM item WHERE 'dark' IN (SELECT name FROM flag) AND id IN (SELECT id FROM wanted WHERE 0);

SELECT name, name IN ('dark', 'beta') FROM flag WHERE name NOT IN ('sound') ORDER BY name;

SELECT id FROM item WHERE (id, name) IN wanted ORDER BY id;

-- given: (1, 'x', None)
SELECT id FROM item WHERE id IN (?, ?, ?) ORDER BY id;

DELETE FROM item WHERE id IN ();

DELETE FROM item WHERE id IN (SELECT id FROM wanted);

SELECT id FROM item WHERE (id IN (1, 2)) + (name IN ('nut')) = 2;

SELECT id, name IN (SELECT name FROM wanted) FROM item ORDER BY id;

WITH few(n) AS (SELECT 1 UNION SELECT 3) SELECT id FROM item WHERE id IN few ORDER BY id;

SELECT id FROM item WHERE id + 0 IN (2, 4) AND price NOT IN (0.2) ORDER BY id;

-- ## comparisons across storage classes and affinities
SELECT 1 < 'a', 'a' < x'00', 1.5 < 2, 2 = 2.0, NULL < 1, '' > 999999, x'' > 'zzz' FROM one;

SELECT 1 = '1', '1' = 1.0, 1 < '0', 'abc' > 5, CAST(1 AS TEXT) = 1, +1 = '1' FROM one;

SELECT id FROM item WHERE name = 10 ORDER BY id;

SELECT id FROM item WHERE name > 5 ORDER BY id;

SELECT id FROM item WHERE quantity = '7' ORDER BY id;

SELECT id FROM item WHERE quantity > 'a' ORDER BY id;

SELECT id FROM item WHERE quantity < '3.5' ORDER BY id;

SELECT id FROM item WHERE price = '0.10' OR price = '3' ORDER BY id;

SELECT id FROM mixed WHERE note = 10 ORDER BY id;

SELECT id FROM mixed WHERE note = '10' ORDER BY id;

SELECT id FROM mixed WHERE note < 'a' ORDER BY id;

SELECT id FROM item WHERE name = quantity OR quantity = discount OR name = discount ORDER BY id;

SELECT item.id FROM item JOIN mixed USING (id) WHERE note = name OR note = quantity OR note = picture ORDER BY item.id;

SELECT id, note FROM mixed ORDER BY note, id;

SELECT max(note), min(note), count(DISTINCT note) FROM mixed;

SELECT id FROM item WHERE quantity BETWEEN '0' AND '8' ORDER BY id;

SELECT id FROM item WHERE picture < 'a' OR picture = '10' ORDER BY id;

-- given: ('7', 7, 7.0, b'7')
SELECT id, quantity = ?1, quantity = ?2, quantity = ?3, quantity = ?4 FROM item WHERE id < 3 ORDER BY id;

-- given: (10, 9.0)
SELECT id FROM item WHERE name = ?1 OR name = ?2 ORDER BY id;

SELECT 9007199254740993 = 9007199254740992.0, 9007199254740993 > 9007199254740992.0, 9223372036854775807 < 9223372036854775808.0, 9223372036854775807 = 9223372036854775807.0 FROM one;

SELECT nullif(1, 1.0), nullif(1, '1'), nullif('a', 'A'), CASE 1 WHEN '1' THEN 'text' WHEN 1.0 THEN 'real' END FROM one;

CREATE TABLE loose (i INTEGER, r REAL, t TEXT, n NUMERIC);
INSERT INTO loose VALUES ('12', '1.5', 12, '3.0'), ('abc', 'x', 1.5, 'y'), (1.5, 2, x'41', x'42'), ('1e2', '  7', NULL, '0x1');
SELECT i, typeof(i), r, typeof(r), t, typeof(t), n, typeof(n) FROM loose ORDER BY rowid;

-- ## concatenation of numbers
SELECT 1 || 2, 1.5 || 'x', 1.0 || '', 1e100 || '', -5 || '%', 1 || NULL, TRUE || '' FROM one;

SELECT 0.1 + 0.2 || '', 1 / 3.0 || '', 1e15 || '', 1e14 || '', 123456789012345678 || '', 100000.0 || '' FROM one;

SELECT id || ': ' || name FROM item ORDER BY id;

SELECT id, quantity || '', price || '', discount || '' FROM item ORDER BY id;

SELECT id, note || '!' FROM mixed ORDER BY id;

SELECT '#' || id || '-' || quantity * 2 FROM item WHERE id < 4 ORDER BY id;

SELECT name || ' x' || quantity AS label FROM item WHERE label LIKE '%x7' ORDER BY label;

-- given: (5, 2.50, None)
SELECT ?1 || '/' || ?2, 'a' || ?3, typeof(?1 || ?2) FROM one;

SELECT 1.10 || '', 2.50 || '', 1e-5 || '', 1e-4 || '', 0.00001234 || '', 1234567.0 || '', 1e21 || '' FROM one;

SELECT 'total: ' || sum(quantity) || ' of ' || count(*) || ', ' || avg(price) FROM item WHERE id < 5;

SELECT coalesce(name, 'item ' || id) || '.' FROM item ORDER BY id;

SELECT '1' || '2' + 3, 1 || 2 * 3, ('1' || '2') + 3, 5 || -3 FROM one;

UPDATE item SET name = name || '-' || id WHERE quantity > 0;
UPDATE mixed SET note = note || 'x' WHERE id > 5;

SELECT substr('0000' || id, -4), substr('  ' || quantity, -3) FROM item WHERE id < 5 ORDER BY id;

-- ## NaN and infinities
SELECT 9e999, -9e999, typeof(9e999), 9e999 = 9e999, 9e999 > 1e308, -9e999 < 0 FROM one;

SELECT 9e999 - 9e999, 9e999 * 0, 9e999 / 9e999, -9e999 + 9e999, typeof(9e999 - 9e999), 0.0 / 0 FROM one;

SELECT 9e999 + 1, 9e999 * -1, 1 / 9e999, -1 / 9e999, 9e999 % 5, 5 % 9e999 FROM one;

SELECT 9e999 || '', -9e999 || '', CAST(9e999 AS TEXT), CAST(9e999 AS INTEGER), CAST(-9e999 AS INTEGER), CAST('inf' AS REAL), CAST('nan' AS REAL) FROM one;

-- given: (1e999, -1e999)
SELECT ?1, ?2, ?1 + ?2, ?1 > ?2, ?1 || '', typeof(?1 - ?1) FROM one;

INSERT INTO item (id, price) VALUES (30, 9e999), (31, -9e999);
SELECT price, price > 1 FROM item WHERE id >= 30 ORDER BY price;

INSERT INTO mixed VALUES (30, 9e999), (31, -9e999), (32, 9e999 - 9e999);
SELECT note, typeof(note), note > 1 FROM mixed WHERE id >= 30 ORDER BY id;

SELECT sum(v), total(v), avg(v) FROM (SELECT 9e999 AS v FROM one UNION ALL SELECT -9e999);

SELECT sum(v), max(v), min(v), avg(v) FROM (SELECT 9e999 AS v FROM one UNION ALL SELECT 1);

SELECT 1e308 * 10, -1e308 * 10, 1e308 + 1e308, 1e-320, 1e-400, 2.2250738585072014e-308 / 2 FROM one;

SELECT price * 1e300 * 1e300, price - price * 1e300 * 1e300 FROM item WHERE id IN (6, 4) ORDER BY id;

SELECT round(9e999), abs(-9e999), max(9e999, 1), min(-9e999, NULL), coalesce(9e999 - 9e999, 'none') FROM one;

SELECT -0.0, 0.0 = -0.0, -0.0 || '', 0.0 * -1, typeof(-0.0), abs(-0.0), -price FROM item WHERE id = 4;

SELECT v FROM (SELECT 9e999 AS v FROM one UNION ALL SELECT NULL UNION ALL SELECT 'Inf' UNION ALL SELECT -9e999 UNION ALL SELECT 0) ORDER BY v;

UPDATE item SET price = price * 10 WHERE id = 6;
SELECT price * 1e300, 1 / (price * 1e300) FROM item WHERE id = 6;

-- ## 2^63-1
SELECT 9223372036854775807, -9223372036854775808, 9223372036854775807 - 1, typeof(9223372036854775807) FROM one;

SELECT max(quantity), min(quantity) FROM item;

SELECT id FROM item WHERE quantity = 9223372036854775807;

SELECT id FROM item WHERE quantity > 9223372036854775806.0 ORDER BY id;

SELECT id FROM item WHERE quantity >= 9223372036854775808 OR quantity < -9223372036854775807 ORDER BY id;

SELECT 9223372036854775807 = 9223372036854775807.0, CAST(9223372036854775807 AS REAL), CAST(9223372036854775807 AS TEXT), 9223372036854775807 || '' FROM one;

-- given: (9223372036854775807,)
SELECT ?, typeof(?1), ?1 - 1, ?1 = 9223372036854775807 FROM one;

-- given: (-9223372036854775808,)
SELECT id FROM item WHERE quantity = ?;

-- given: (9223372036854775808,)
-- raises: OverflowError
SELECT ? FROM one;

-- given: (9223372036854775807, 'last')
INSERT INTO item (id, name) VALUES (?, ?);
SELECT id, name FROM item WHERE id > 100;

INSERT INTO item (id, name) VALUES (9223372036854775806, 'near the end');
INSERT INTO item (name) VALUES ('the end');
SELECT id, name FROM item WHERE id > 100 ORDER BY id;

SELECT quantity / 3, quantity % 10, quantity - 1, -quantity FROM item WHERE id = 6;

SELECT count(*) FROM item LIMIT 9223372036854775807;

SELECT id FROM item ORDER BY id LIMIT 2 OFFSET 9223372036854775807;

SELECT abs(9223372036854775807), round(9223372036854775807), length(9223372036854775807), hex(9223372036854775807), nullif(9223372036854775807, 1) FROM one;
