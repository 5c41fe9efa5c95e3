-- # text: how texts are ordered, matched, cut, changed and written
-- setup
CREATE TABLE one (id INTEGER PRIMARY KEY); -- a query without a table would never reach PostgreSQL
INSERT INTO one VALUES (1);
CREATE TABLE person (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  email TEXT COLLATE NOCASE UNIQUE,
  city TEXT COLLATE RTRIM,
  remark TEXT,
  code BLOB
);
INSERT INTO person VALUES
  (1, 'Alice', 'alice@example.org', 'Berlin', 'likes 100% wool', x'c3a9'),
  (2, 'bob', 'Bob@Example.org', 'Berlin  ', 'under_score', x'00'),
  (3, 'Émile', 'emile@example.org', 'Paris', '', NULL),
  (4, 'zoë', 'ZOE@example.org', 'Köln', 'it''s "quoted"', x'616263'),
  (5, 'Ann', NULL, 'berlin', NULL, x''),
  (6, 'ann', 'ann@example.org', NULL, '  padded  ', x'ff'),
  (7, '李雷', 'li@example.cn', '北京', 'back\slash', NULL),
  (8, 'Zed', 'zed@example.org', 'Oslo', '🙂 smiles', NULL),
  (9, '10', 'ten@example.org', '9', '12abc', NULL);
CREATE TABLE path (path TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID;
INSERT INTO path VALUES ('/data/a.txt', 10), ('/data/B.TXT', 200), ('/data/c/d.log', 3), ('/made/[x].txt', 0), ('README', NULL);

-- ## BINARY order
SELECT name FROM person ORDER BY name;

SELECT name FROM person ORDER BY name DESC LIMIT 3;

SELECT id FROM person WHERE name > 'Z' ORDER BY id;

SELECT id FROM person WHERE name BETWEEN 'A' AND 'B' ORDER BY id;

SELECT min(name), max(name), min(remark), max(city) FROM person;

SELECT 'a' < 'B', 'a' < 'b', 'Z' < 'a', 'é' > 'z', '' < ' ', 'ab' < 'abc', '10' < '9', '_' > 'Z' FROM one;

SELECT 'ß' = 'ss', 'é' = 'é', 'É' = 'é', 'İ' = 'i', 'a' = 'a ', 'A' = 'a' FROM one;

SELECT DISTINCT city FROM person WHERE city <> '' ORDER BY city COLLATE BINARY, id;

SELECT substr(name, 1, 1) AS initial, count(*) FROM person GROUP BY initial ORDER BY initial;

-- given: ('Zed',)
SELECT name FROM person WHERE name >= ? ORDER BY name;

SELECT path FROM path ORDER BY path;

SELECT path FROM path WHERE path >= '/data/' AND path < '/data0' ORDER BY path;

SELECT name FROM person ORDER BY length(name), name;

SELECT column1 FROM (VALUES ('b'), ('A'), ('a'), ('B'), ('ä'), ('-'), ('1'), ('_'), (' '), ('🙂'), ('')), one ORDER BY 1;

-- ## NOCASE
SELECT id FROM person WHERE email = 'BOB@EXAMPLE.ORG';

SELECT email FROM person WHERE email IS NOT NULL ORDER BY email;

SELECT name FROM person ORDER BY name COLLATE NOCASE, id;

SELECT id FROM person WHERE name = 'ANN' COLLATE NOCASE ORDER BY id;

SELECT 'É' = 'é' COLLATE NOCASE, 'A' = 'a' COLLATE NOCASE, 'ß' = 'SS' COLLATE NOCASE, '[' < 'a' COLLATE NOCASE, '_' < 'A' COLLATE NOCASE FROM one;

-- given: ('Alice@Example.Org',)
SELECT name FROM person WHERE email = ?;

-- given: ('ALICE@EXAMPLE.ORG', 'nobody', 'Zoe@example.org')
SELECT id FROM person WHERE email IN (?, ?, ?) ORDER BY id;

-- raises: IntegrityError
INSERT INTO person (name, email) VALUES ('Alicia', 'ALICE@example.org');

SELECT lower(email) AS e, count(*) FROM person GROUP BY email ORDER BY e;

SELECT count(DISTINCT name COLLATE NOCASE), count(DISTINCT name), count(DISTINCT email) FROM person;

SELECT max(email), min(email), max(name COLLATE NOCASE) FROM person;

SELECT id FROM person WHERE email BETWEEN 'B' AND 'F' ORDER BY email;

SELECT id FROM person WHERE email = 'bob@example.org' COLLATE BINARY;

SELECT a.id, b.id FROM person a JOIN person b ON a.name = b.name COLLATE NOCASE AND a.id < b.id;

UPDATE person SET email = upper(email) WHERE email = 'li@EXAMPLE.cn';

INSERT INTO person (id, name, email) VALUES (20, 'Bo', 'BOB@example.org') ON CONFLICT (email) DO UPDATE SET name = excluded.name;

CREATE TABLE tag (name TEXT PRIMARY KEY COLLATE NOCASE, uses INTEGER DEFAULT 0);
INSERT INTO tag VALUES ('Red', 1), ('blue', 2);
INSERT OR IGNORE INTO tag VALUES ('RED', 5), ('Green', 3);
SELECT * FROM tag ORDER BY name;
SELECT uses FROM tag WHERE name = 'GREEN';

SELECT nullif('a', 'A' COLLATE NOCASE), CASE 'a' WHEN 'A' COLLATE NOCASE THEN 1 ELSE 2 END, 'b' IN ('A', 'B') COLLATE NOCASE, ('b' COLLATE NOCASE) IN ('A', 'B') FROM one;

-- ## RTRIM
SELECT id FROM person WHERE city = 'Berlin' ORDER BY id;

SELECT id FROM person WHERE city = 'Berlin   ' ORDER BY id;

SELECT 'a' = 'a  ' COLLATE RTRIM, 'a' = ' a' COLLATE RTRIM, '' = '   ' COLLATE RTRIM, 'a' < 'a b' COLLATE RTRIM, 'A' = 'a' COLLATE RTRIM FROM one;

SELECT city, count(*) FROM person WHERE id <> 2 GROUP BY city ORDER BY city;

SELECT count(DISTINCT city) FROM person;

SELECT name FROM person ORDER BY city, id;

SELECT id FROM person WHERE city IN ('Berlin ', 'Oslo ') ORDER BY id;

SELECT id FROM person WHERE city < 'Berlin ' ORDER BY id;

SELECT id FROM person WHERE city = 'Berlin ' COLLATE BINARY;

SELECT a.id, b.id FROM person a JOIN person b ON a.city = b.city AND a.id < b.id ORDER BY 1, 2;

-- given: ('Paris    ',)
SELECT name FROM person WHERE city = ?;

SELECT 'a' || char(9) = 'a' COLLATE RTRIM, 'a' || char(10) = 'a' COLLATE RTRIM, 'a' || char(160) = 'a' COLLATE RTRIM FROM one;

-- ## LIKE
SELECT name FROM person WHERE name LIKE 'a%' ORDER BY id;

SELECT name FROM person WHERE email LIKE '%@example.org' ORDER BY id;

SELECT name FROM person WHERE name NOT LIKE '%n%' ORDER BY id;

SELECT name FROM person WHERE name LIKE '_nn' ORDER BY id;

SELECT 'Abc' LIKE 'aBC', 'é' LIKE 'É', 'a' LIKE '', '' LIKE '%', '' LIKE '', 'abc' LIKE 'a%c%', 'abc' LIKE '%_%_%_%_%' FROM one;

SELECT NULL LIKE 'a', 'a' LIKE NULL, 123 LIKE '1%', 1.5 LIKE '1._', 1e3 LIKE '1000.0', TRUE LIKE 1 FROM one;

-- given: ('%LI%',)
SELECT id FROM person WHERE name LIKE ? ORDER BY id;

-- given: ('zo',)
SELECT id FROM person WHERE name LIKE '%' || ? || '%' ORDER BY id;

SELECT name FROM person WHERE name LIKE '李_' OR name LIKE '%ë';

SELECT id FROM person WHERE id LIKE '1%' ORDER BY id;

SELECT 'a%b' LIKE 'a%b', 'a\b' LIKE 'a\b', 'a\%' LIKE 'a\%', '50%' LIKE '50%', 'a.c' LIKE 'a_c', 'a*c' LIKE 'a*c', '(a)' LIKE '(a)' FROM one;

SELECT name, remark LIKE '%"%', remark LIKE '%''%' FROM person ORDER BY id;

SELECT like('a%', 'ABC'), like('A%', 'xyz'), like('a!%', 'a%', '!') FROM one;

SELECT 'line1' || char(10) || 'line2' LIKE '%1_line%', char(10) LIKE '_', 'a' || char(10) LIKE 'a%' FROM one;

SELECT count(*) FROM person WHERE city LIKE 'b%' AND remark LIKE '%' AND email LIKE '%';

SELECT id FROM person WHERE code LIKE 'a%';

-- ## GLOB
SELECT name FROM person WHERE name GLOB 'A*' ORDER BY id;

SELECT path FROM path WHERE path GLOB '*.txt' ORDER BY path;

SELECT path FROM path WHERE path GLOB '/data/?.[tT]*' ORDER BY path;

SELECT path FROM path WHERE path GLOB '*[[]x]*';

SELECT path FROM path WHERE path NOT GLOB '/data/*' ORDER BY path;

SELECT 'abc' GLOB 'ABC', 'abc' GLOB 'a?c', 'abc' GLOB '*', '' GLOB '*', '' GLOB '?', 'a*c' GLOB 'a[*]c', 'a' GLOB '' FROM one;

SELECT 'b' GLOB '[a-c]', 'd' GLOB '[a-c]', 'd' GLOB '[^a-c]', '-' GLOB '[a-]', ']' GLOB '[]]', 'x' GLOB '[^]]', '^' GLOB '[x^]' FROM one;

SELECT NULL GLOB 'a', 'a' GLOB NULL, 123 GLOB '1*', 1.5 GLOB '*.*', 'é' GLOB '?', '🙂x' GLOB '?x' FROM one;

SELECT name FROM person WHERE name GLOB '*[0-9]*' OR name GLOB '[^A-Za-z]*' ORDER BY id;

-- given: ('/data/*',)
SELECT count(*), sum(size) FROM path WHERE path GLOB ?;

SELECT 'a' GLOB '[', 'a' GLOB '[a', '[' GLOB '[', 'a%_c' GLOB 'a%_c', 'a\c' GLOB 'a\c', 'ab' GLOB 'a[b' FROM one;

SELECT glob('a*', 'abc'), glob('*', NULL), glob('[0-9]', 5) FROM one;

SELECT name, name GLOB '[A-Z]*[a-z]', name GLOB '???' FROM person ORDER BY id;

-- ## ESCAPE
SELECT id FROM person WHERE remark LIKE '%!%%' ESCAPE '!';

SELECT id FROM person WHERE remark LIKE '%\_%' ESCAPE '\';

SELECT id FROM person WHERE remark LIKE '%/%%' ESCAPE '/' ORDER BY id;

SELECT 'a%' LIKE 'a!%' ESCAPE '!', 'ab' LIKE 'a!%' ESCAPE '!', 'a!' LIKE 'a!!' ESCAPE '!', 'a_b' LIKE 'a!_b' ESCAPE '!' FROM one;

SELECT 'A%b' LIKE 'ax%B' ESCAPE 'x', 'axb' LIKE 'axxb' ESCAPE 'x', 'AXB' LIKE 'axxb' ESCAPE 'x' FROM one;

-- given: ('100!%%', '!')
SELECT count(*) FROM person WHERE remark LIKE '%' || ? ESCAPE ?;

-- raises: OperationalError
SELECT 'a' LIKE 'b' ESCAPE 'xx' FROM one;

-- raises: OperationalError
SELECT 'a' LIKE 'b' ESCAPE '' FROM one;

SELECT 'a' LIKE 'a' ESCAPE NULL, 'a%' LIKE 'aé%' ESCAPE 'é', 'a🙂' LIKE 'a🙂🙂' ESCAPE '🙂' FROM one;

SELECT 'a' LIKE 'a!' ESCAPE '!', 'a!' LIKE 'a!' ESCAPE '!', '%' LIKE '%%' ESCAPE '%', 'x' LIKE '%%' ESCAPE '%' FROM one;

SELECT id FROM person WHERE name NOT LIKE '\%%' ESCAPE '\' AND remark LIKE '%\\%' ESCAPE '\';

SELECT path FROM path WHERE path LIKE '%.txt' ESCAPE '!' AND path NOT LIKE '%![%' ESCAPE '!' ORDER BY path;

UPDATE person SET remark = 'found' WHERE remark LIKE '%\%%' ESCAPE '\';

-- ## substr
SELECT substr('abcdef', 2, 3), substr('abcdef', 2), substr('abcdef', -3), substr('abcdef', -3, 2), substr('abcdef', 10), substr('abcdef', 1, 100) FROM one;

SELECT substr('abcdef', 0), substr('abcdef', 0, 3), substr('abcdef', -10, 6), substr('abcdef', -1, -2), substr('abcdef', 4, -2), substr('abcdef', 1, -1) FROM one;

SELECT substr('abc', NULL), substr(NULL, 1), substr('abc', 1, NULL), substr('abc', 2, 0), substr('', 1, 1) FROM one;

SELECT substr(12345, 2, 3), substr(1.5, 1, 2), substr('abc', '2'), substr('abc', 1.9, 1.9), typeof(substr(123, 1)) FROM one;

SELECT substring('hello', 2, 2), substr('héllo', 2, 1), substr('🙂🙃', 2), substr('日本語', -2, 1) FROM one;

SELECT name, substr(name, 1, 1), substr(name, -1), substr(name, 2, length(name) - 2) FROM person ORDER BY id;

SELECT id, substr(code, 1, 1), substr(code, -1), typeof(substr(code, 1)), length(substr(code, 2)) FROM person ORDER BY id;

-- given: (-2, 1)
SELECT substr('abcdef', ?1, ?2), substr('abcdef', ?2, ?1) FROM one;

SELECT substr(email, 1, instr(email, '@') - 1) AS user, substr(email, instr(email, '@') + 1) AS host FROM person WHERE email IS NOT NULL ORDER BY id;

SELECT upper(substr(name, 1, 1)) || lower(substr(name, 2)) FROM person ORDER BY id;

SELECT substr('2024-05-06 07:08:09', 1, 10), substr('2024-05-06', 6, 2), substr('2024-05-06', -2) + 0 FROM one;

SELECT id FROM person WHERE substr(name, -3) = 'ice' OR substr(name, 0, 2) = 'b' ORDER BY id;

SELECT substr('abc', 2000000000), substr('abc', -2000000000), substr('abc', 2, 2000000000), substr('abc', -2, -2000000000) FROM one;

UPDATE person SET remark = substr(remark, 3, 4) || '…' WHERE length(remark) > 10;

-- ## instr
SELECT instr('hello', 'l'), instr('hello', 'lo'), instr('hello', 'x'), instr('hello', ''), instr('', ''), instr('', 'a') FROM one;

SELECT instr(NULL, 'a'), instr('a', NULL), instr('Hello', 'h'), instr('aaa', 'aa') FROM one;

SELECT instr('héllo', 'l'), instr('🙂🙃', '🙃'), instr('日本語', '語'), instr('é', 'e') FROM one;

SELECT instr(12345, 34), instr(1.5, '.'), instr('a1', 1), typeof(instr('a', 'a')) FROM one;

SELECT instr(x'010203', x'02'), instr(x'c3a9c3a8', x'c3a8'), instr(x'0102', x''), instr(x'', x'01'), instr('abc', x'62') FROM one;

SELECT name, instr(name, 'n'), instr(email, '@') FROM person ORDER BY id;

SELECT id FROM person WHERE instr(remark, '%') ORDER BY id;

SELECT id FROM person WHERE instr(lower(email), 'example.org') > 5 ORDER BY id;

-- given: ('o', 'Bob')
SELECT instr(?2, ?1), instr(?1, ?2), instr(?1, ?1) FROM one;

SELECT substr(path, instr(path, '.')) AS ext, count(*) FROM path WHERE instr(path, '.') > 0 GROUP BY ext ORDER BY ext;

SELECT instr(remark, '''') , instr(remark, '"'), instr(remark, '\') FROM person WHERE id IN (4, 7) ORDER BY id;

SELECT instr('a,b,c', ',') + instr(substr('a,b,c', instr('a,b,c', ',') + 1), ','), instr(replace('a-b', '-', ','), ',') FROM one;

-- ## trim, ltrim, rtrim
SELECT trim('  a b  '), ltrim('  a b  '), rtrim('  a b  '), trim(''), trim('   ') FROM one;

SELECT trim('xxaxx', 'x'), ltrim('xyxya', 'xy'), rtrim('axyx', 'yx'), trim('abc', 'abc'), trim('abc', '') FROM one;

SELECT trim(NULL), trim('a', NULL), trim(NULL, 'a'), trim(120, 0), trim(5.50, '5'), typeof(trim(5)) FROM one;

SELECT trim(char(9) || 'a' || char(10)), length(trim(char(9) || ' a ' || char(10))), trim(' a ', ' a'), trim('a' || char(160)) FROM one;

SELECT trim('éaé', 'é'), trim('🙂a🙃', '🙂🙃'), ltrim('ÀÁa', 'Á'), rtrim('añ', 'ñn') FROM one;

SELECT '[' || trim(remark) || ']' FROM person ORDER BY id;

SELECT id FROM person WHERE trim(city) = 'Berlin' ORDER BY id;

-- given: ('--x--', '-')
SELECT trim(?1, ?2), ltrim(?1, ?2), rtrim(?1, ?2), trim(?1) FROM one;

SELECT rtrim(rtrim('10.500', '0'), '.'), rtrim(rtrim('10.000', '0'), '.'), ltrim('000123', '0'), ltrim('0', '0') FROM one;

SELECT trim('"quoted"', '"'), trim('''q''', ''''), trim('[x]', '[]'), trim('^-a-^', '^-'), trim('a.b.c', 'a-c'), trim('\a\', '\') FROM one;

SELECT rtrim(path, replace(path, '/', '')) AS folder, count(*) FROM path GROUP BY folder ORDER BY folder;

UPDATE person SET remark = nullif(trim(remark), ''), city = rtrim(city);

-- ## upper and lower
SELECT upper('abc'), lower('ABC'), upper('aé'), lower('ÀB'), upper('ß'), lower('İ'), upper(''), lower(NULL) FROM one;

SELECT upper(name), lower(name) FROM person ORDER BY id;

SELECT id FROM person WHERE lower(name) = 'ann' ORDER BY id;

SELECT id FROM person WHERE upper(name) = upper('alice') OR lower(email) LIKE '%.cn' ORDER BY id;

SELECT lower(name) AS n, count(*) FROM person GROUP BY n HAVING count(*) > 1;

SELECT upper(12), upper(1.5e10), lower(x'4142'), typeof(lower(12)), typeof(upper(x'61')), upper(TRUE) FROM one;

-- given: ('MiXeD',)
SELECT upper(?1), lower(?1), upper(?1) = lower(?1) FROM one;

SELECT DISTINCT lower(city) FROM person WHERE city IS NOT NULL ORDER BY 1;

SELECT name FROM person ORDER BY lower(name), name;

UPDATE person SET name = upper(substr(name, 1, 1)) || substr(name, 2);

SELECT lower('ÀÉÎ') = 'àéî', upper('ǆ'), lower('Σ'), upper('ﬁ'), lower('K'), upper('ı') FROM one;

CREATE UNIQUE INDEX person_lower ON person (lower(name), id);
SELECT id FROM person WHERE lower(name) = 'bob';

-- ## printf and format
SELECT printf('%d', 42), printf('%5d|%-5d|%05d', 42, 42, 42), printf('%+d % d', 5, 5), printf('%d', 'abc'), printf('%d', 3.9), printf('%d', NULL) FROM one;

SELECT printf('%.2f', 3.14159), printf('%8.3f|', 2.5), printf('%.0f', 2.5), printf('%f', 1), printf('%.1f%%', 99.95), printf('%.2f', 1e15) FROM one;

SELECT printf('%s', 'abc'), printf('%10s|%-10s|', 'abc', 'abc'), printf('%.2s', 'abcdef'), printf('%s', 12), printf('%s', 1.5), printf('%s', NULL) FROM one;

SELECT printf('%x %X %o', 255, 255, 8), printf('%#x', 255), printf('%08x', 48879), printf('%x', -1) FROM one;

SELECT printf('%e', 12345.678), printf('%.3e', 0.00012), printf('%g', 0.0001), printf('%g', 1e10), printf('%G', 1e-10), printf('%.3g', 1234.5) FROM one;

SELECT printf('%c', 'xyz'), printf('%5c|', 'x'), printf('%%'), printf('%'), printf(''), printf('no args'), printf('%d %d', 1) FROM one;

SELECT printf('%q', 'it''s'), printf('%Q', 'it''s'), printf('%Q', NULL), printf('%q', NULL), printf('%w', 'a"b') FROM one;

SELECT printf('%,d', 1234567), printf('%,d', -1234567), printf('%,.2f', 1234567.891), printf('%,d', 123) FROM one;

SELECT printf('%*d', 6, 42), printf('%-*d|', 6, 42), printf('%.*f', 2, 3.14159), printf('%2$s', 'a', 'b') FROM one;

SELECT format('%s-%s', 'a', 'b'), format('%d', 9223372036854775807), format('%lld', 5), format('%i', 7), format('%u', -1) FROM one;

SELECT id, printf('%04d: %-8s|', id, name) FROM person ORDER BY id;

SELECT printf('%02d:%02d:%02d', 3661 / 3600, 3661 % 3600 / 60, 3661 % 60), printf('%d.%02d', 1999 / 100, 1999 % 100) FROM one;

-- given: ('%s is %d (%.1f)', 'x', 5, 2.25)
SELECT printf(?, ?, ?, ?) FROM one;

SELECT path, printf('%.1f kB', size / 1024.0) FROM path ORDER BY path;

SELECT printf(NULL), printf('%s', x'616263'), printf('%d', '12abc'), printf('%.15g', 0.1), printf('%!.20g', 0.1), printf('%z', 1) FROM one;

SELECT printf('%.2f', 0.005), printf('%.2f', 1.005), printf('%.1f', 0.25), printf('%.0f', 0.5), printf('%.3f', -0.0005), printf('%.2f', 9e999) FROM one;

-- ## quote
SELECT quote('abc'), quote('it''s'), quote(''), quote(NULL), quote(123), quote(-1), quote(x'00ff'), quote(x'') FROM one;

SELECT quote(1.5), quote(0.1), quote(1.0), quote(1e100), quote(0.1 + 0.2), quote(-0.0), quote(9e999), quote(1e-10) FROM one;

SELECT quote('a' || char(10) || 'b'), quote('"'), quote('\'), quote('é🙂'), quote('''''') FROM one;

SELECT id, quote(name), quote(remark) FROM person ORDER BY id;

SELECT id, quote(code), quote(city) FROM person ORDER BY id;

SELECT typeof(quote(1)), typeof(quote(NULL)), typeof(quote(x'')), length(quote('a')) FROM one;

-- given: ("it's", None, 2.5, b'\x01')
SELECT quote(?1), quote(?2), quote(?3), quote(?4) FROM one;

SELECT 'INSERT INTO person VALUES(' || quote(id) || ',' || quote(name) || ',' || quote(email) || ');' FROM person WHERE id < 4 ORDER BY id;

SELECT quote(quote('a')), quote(9223372036854775807), quote(-9223372036854775808), quote(TRUE), quote(1 > 2) FROM one;

SELECT group_concat(quote(name), ', ') FROM (SELECT name FROM person WHERE id < 5 ORDER BY id);

SELECT quote(123456789.123456789), quote(1/3.0), quote(2.0/3), quote(1e15), quote(1e16), quote(123456789012345678.0) FROM one;

-- ## hex and unhex
SELECT hex('abc'), hex(''), hex(NULL), hex(123), hex(1.5), hex(x'0a0B'), hex('é'), hex('🙂') FROM one;

SELECT name, hex(name), hex(code) FROM person ORDER BY id;

SELECT id FROM person WHERE hex(code) = '616263';

SELECT lower(hex(code)) AS h FROM person WHERE code IS NOT NULL ORDER BY h;

SELECT hex(zeroblob(3)), length(hex(name)), typeof(hex(NULL)), typeof(hex(x'')) FROM person WHERE id = 1;

SELECT length(hex(randomblob(16))), hex(randomblob(4)) <> hex(randomblob(4)), typeof(randomblob(1)), length(randomblob(0)) FROM one;

-- given: (b'\x00\xff', 'ä', None)
SELECT hex(?1), hex(?2), hex(?3) FROM one;

SELECT substr(hex(x'deadbeef'), 1, 4), x'de' || x'ad' = x'dead', hex(substr(x'deadbeef', 2, 2)), hex(replace('abc', 'b', '')) FROM one;

SELECT hex(CAST(5 AS BLOB)), hex(CAST('5' AS TEXT)), hex(-5), hex(9223372036854775807), hex(TRUE) FROM one;

-- since: 3.41
SELECT unhex('616263'), unhex(''), unhex('6'), unhex('zz'), unhex(NULL), typeof(unhex('41')) FROM one;

-- since: 3.41
SELECT unhex('61-62', '-'), unhex('DE AD', ' '), unhex('61:6', ':'), hex(unhex('deadBEEF')) FROM one;

-- since: 3.41
SELECT id FROM person WHERE code = unhex('616263');

-- ## char and unicode
SELECT char(65), char(72, 105), char(), char(233), char(128578), typeof(char(65)), length(char(65, 66)) FROM one;

SELECT unicode('A'), unicode('é'), unicode('🙂'), unicode(''), unicode(NULL), unicode('abc'), unicode(12) FROM one;

SELECT 'a' || char(10) || 'b', 'a' || char(9) || 'b', char(13, 10) = x'0d0a', length(char(13, 10)) FROM one;

SELECT name, unicode(name), char(unicode(name)) FROM person ORDER BY id;

SELECT char('65'), char(65.9), char(NULL) = '', char(55), char(1114111), char(64 + 1) FROM one;

SELECT id FROM person WHERE unicode(name) > 127 ORDER BY id;

SELECT replace('a' || char(10) || 'b', char(10), ' '), instr('a' || char(9), char(9)), trim('a' || char(10), char(10)) FROM one;

-- given: (128578, '🙃')
SELECT char(?1), unicode(?2), char(?1) < ?2 FROM one;

SELECT char(39) = '''', char(34), char(92), char(37), char(95), char(127) FROM one;

SELECT group_concat(char(64 + id), '') FROM (SELECT id FROM person ORDER BY id);

SELECT unicode(substr('日本', 2)), unicode(upper('é')), unicode(x'41'), unicode(lower('É')) FROM one;

UPDATE person SET remark = char(171) || remark || char(187) WHERE id = 1;

-- ## typeof
SELECT typeof(1), typeof(1.0), typeof('a'), typeof(x'00'), typeof(NULL), typeof(TRUE), typeof(1e3), typeof('1') FROM one;

SELECT id, typeof(name), typeof(email), typeof(code), typeof(city) FROM person ORDER BY id;

SELECT typeof(size), typeof(path), typeof(size * 1.0), typeof(size / 2), typeof(size || '') FROM path ORDER BY path;

SELECT typeof(1 + 1), typeof(1 + 1.0), typeof(1 / 2), typeof('1' + 1), typeof('1.5' + 1), typeof('a' || 1), typeof(1 = 1), typeof(-'3') FROM one;

SELECT typeof(count(*)), typeof(sum(id)), typeof(avg(id)), typeof(total(id)), typeof(max(name)), typeof(min(code)), typeof(group_concat(id)) FROM person;

SELECT typeof(sum(size)), typeof(max(size)), typeof(total(size)), typeof(count(size)) FROM path WHERE path = 'nothing';

SELECT typeof(coalesce(NULL, 1)), typeof(ifnull(NULL, 1.0)), typeof(nullif(1, 1)), typeof(iif(1, 'a', 2)), typeof(CASE WHEN 0 THEN 1 END) FROM one;

SELECT typeof(date('now')), typeof(julianday('now')), typeof(length('a')), typeof(abs(-1)), typeof(abs('1')), typeof(round(1)), typeof(random()), typeof(hex(1)) FROM one;

-- given: (1, 1.5, 'a', b'a', None)
SELECT typeof(?1), typeof(?2), typeof(?3), typeof(?4), typeof(?5) FROM one;

SELECT typeof(city) AS kind, count(*) FROM person GROUP BY kind ORDER BY kind;

SELECT name FROM person WHERE typeof(code) = 'blob' AND typeof(remark) <> 'null' ORDER BY id;

SELECT typeof(CAST('1' AS INTEGER)), typeof(CAST(1 AS TEXT)), typeof(CAST('1.5' AS NUMERIC)), typeof(CAST('1.0' AS NUMERIC)), typeof((SELECT 1 WHERE 0)), typeof(current_timestamp) FROM one;

-- ## replace
SELECT replace('hello', 'l', 'L'), replace('hello', 'x', 'y'), replace('aaa', 'aa', 'b'), replace('abc', '', 'x'), replace('', 'a', 'b') FROM one;

SELECT replace(NULL, 'a', 'b'), replace('a', NULL, 'b'), replace('a', 'a', NULL), replace('abc', 'b', '') FROM one;

SELECT replace(12321, 2, 5), replace(1.5, '.', ','), typeof(replace(11, 1, 2)), replace('a1', 1, 2) FROM one;

SELECT replace('Hello', 'h', 'j'), replace('ünï', 'ï', 'i'), replace('🙂🙂', '🙂', '☺'), replace('a%b', '%', '%%') FROM one;

SELECT replace(replace(replace(remark, '&', '&amp;'), '<', '&lt;'), '"', '&quot;') FROM person ORDER BY id;

SELECT id, replace(email, '@', ' at '), replace(name, 'n', '') FROM person ORDER BY id;

SELECT name, length(name) - length(replace(name, 'n', '')) AS ns FROM person ORDER BY ns DESC, id;

-- given: ('example', 'test')
UPDATE person SET email = replace(email, ?, ?);

UPDATE person SET remark = replace(remark, ' ', '_') WHERE instr(remark, ' ');
SELECT changes();

SELECT id FROM person WHERE replace(city, ' ', '') = 'Berlin' ORDER BY id;

SELECT replace('C:\dir\file', '\', '/'), replace('a''b', '''', ''''''), replace('$1', '$', '\'), replace('a.b', '.', '\1'), replace('abc', 'abc', '&') FROM one;

SELECT replace('2024-01-02', '-', '') + 0, replace(path, '.txt', '.md') FROM path ORDER BY path;
