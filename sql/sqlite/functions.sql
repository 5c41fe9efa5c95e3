-- Functions that give PostgreSQL SQLite's behaviour. Each may be created again over itself; none needs a superuser.

CREATE SCHEMA IF NOT EXISTS sqlite;
-- By this it is known for ours.
COMMENT ON SCHEMA sqlite IS 'made by dualdb';
-- Whoever may insert a row runs the triggers that call them.
GRANT USAGE ON SCHEMA sqlite TO PUBLIC;

-- Collations (datatype3.html, section 7) ------------------------------------------------------------------------

-- What NOCASE compares by: the text with the 26 ASCII capitals made small.
CREATE OR REPLACE FUNCTION sqlite.nocase(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN lower(value COLLATE "C");

-- Numbers ---------------------------------------------------------------------------------------------------------

-- -1, 0 or 1 as the integer is below, equal to or above the float, exactly; PostgreSQL itself would round the integer.
CREATE OR REPLACE FUNCTION sqlite.compare(whole bigint, value double precision) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN value >= 9223372036854775808 THEN -1
  WHEN value < -9223372036854775808 THEN 1
  WHEN whole < trunc(value)::bigint THEN -1
  WHEN whole > trunc(value)::bigint THEN 1
  ELSE sign(trunc(value) - value)::integer
END;

-- abs() of a float, which leaves -0.0 as it is.
CREATE OR REPLACE FUNCTION sqlite.absolute(value double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN value < 0 THEN - value ELSE value END;

-- An integer into a column of numbers, which are floats: an error when the float would be another number.
CREATE OR REPLACE FUNCTION sqlite.number(whole bigint) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
  IF sqlite.compare(whole, whole::double precision) <> 0 THEN
    RAISE numeric_value_out_of_range USING MESSAGE = format('%s is not exact as a float', whole);
  END IF;
  RETURN whole;
END
$$;

-- CAST(float AS INTEGER): towards zero, and held within 64 bits (lang_expr.html, section 3.1).
CREATE OR REPLACE FUNCTION sqlite.to_integer(value double precision) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN value >= 9223372036854775807 THEN 9223372036854775807
  WHEN value <= -9223372036854775808 THEN -9223372036854775808
  ELSE trunc(value)::bigint
END;

-- CAST(text AS INTEGER): the longest prefix that is an integer, 0 when there is none, held within 64 bits.
CREATE OR REPLACE FUNCTION sqlite.to_integer(value text) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN greatest(-9223372036854775808, least(9223372036854775807,
  coalesce(substring(value from '^[ \t\n\v\f\r]*([+-]?[0-9]+)'), '0')::numeric))::bigint;

-- Rounding --------------------------------------------------------------------------------------------------------
--
-- round(X, Y) as SQLite 3.40 computes it: print with Y decimals in 80-bit floats, read the digits back.
--
-- The last bit of the result depends on each rounding on that way, so they are done one by one in exact numbers. The
-- names in the comments are those of SQLite's func.c, printf.c and util.c. Compared with SQLite on random numbers by
-- tests/differential.

-- Two to that power, exactly.
CREATE OR REPLACE FUNCTION sqlite.power_of_two(exponent integer) RETURNS numeric
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN exponent >= 0 THEN trunc(2::numeric ^ exponent)
  ELSE trunc(5::numeric ^ (-exponent)) * ('1e' || exponent)::numeric
END;

-- The float's exact value; PostgreSQL's own cast keeps 15 digits.
CREATE OR REPLACE FUNCTION sqlite.exact(value double precision) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  bits bigint := ('x' || encode(float8send(value), 'hex'))::bit(64)::bigint;
  exponent integer := (bits >> 52) & 2047;
  mantissa numeric := bits & 4503599627370495;
BEGIN
  IF exponent > 0 THEN
    mantissa := mantissa + 4503599627370496;
  END IF;
  RETURN sign(value)::numeric * mantissa * sqlite.power_of_two(greatest(exponent, 1) - 1075);
END
$$;

-- The nearest number of that many significant bits, of two equally near the even one: 64 for long double, 53 for double.
CREATE OR REPLACE FUNCTION sqlite.significant(value numeric, bits integer) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  exponent integer := floor(ln(value::double precision) / ln(2::double precision));
  scaled numeric;
  whole numeric;
BEGIN
  IF value >= sqlite.power_of_two(exponent + 1) THEN
    exponent := exponent + 1;
  ELSIF value < sqlite.power_of_two(exponent) THEN
    exponent := exponent - 1;
  END IF;
  scaled := value * sqlite.power_of_two(bits - 1 - exponent);
  whole := trunc(scaled);
  IF scaled - whole > 0.5 OR (scaled - whole = 0.5 AND mod(whole, 2) = 1) THEN
    whole := whole + 1;
  END IF;
  RETURN trim_scale(whole * sqlite.power_of_two(exponent + 1 - bits));
END
$$;

CREATE OR REPLACE FUNCTION sqlite.round(value double precision, digits bigint) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  two_63 constant numeric := 9223372036854775808;
  places integer := least(greatest(digits, 0), 30);
  rounder numeric;
  rest integer;
  v numeric;            -- realvalue
  exponent integer := 0;
  fixed numeric;        -- realvalue in units of 2^-63
  digit numeric;
  read numeric := 0;    -- s of sqlite3AtoF
  used integer := 0;
BEGIN
  IF abs(value) > 4503599627370496 OR value = 0 THEN
    RETURN CASE WHEN value = 0 THEN 0 ELSE value END;
  END IF;
  IF places = 0 THEN
    RETURN trunc(value + CASE WHEN value < 0 THEN -0.5 ELSE 0.5 END::double precision) + 0;
  END IF;

  IF abs(value) < 1e-40 THEN  -- none of 30 digits is another than zero, and doubles would underflow below
    RETURN CASE WHEN value < 0 THEN '-0'::double precision ELSE 0 END;
  END IF;

  -- 1. Add half a unit of the last place, and a little more where the digits allow it.
  v := abs(sqlite.exact(value));
  rounder := sqlite.exact(('5e-' || (places % 10 + 1))::double precision);
  FOR step IN 1 .. places / 10 LOOP
    rounder := sqlite.significant(rounder * sqlite.exact(1e-10), 53);
  END LOOP;
  rest := ((('x' || encode(float8send(value), 'hex'))::bit(64)::bigint >> 52) & 2047) - 1023;
  IF places + rest / 3 < 15 THEN
    rounder := rounder + sqlite.significant(v * sqlite.exact(3e-16), 64);
    rounder := sqlite.significant(sqlite.significant(rounder, 64), 53);
  END IF;
  v := sqlite.significant(v + rounder, 64);

  -- 2. Bring it to 1 <= v < 10.
  IF v >= 1 THEN
    exponent := length(trunc(v)::text) - 1;
    v := sqlite.significant(v * ('1e-' || exponent)::numeric, 64);
  END IF;
  WHILE v < sqlite.exact(1e-8) LOOP
    v := sqlite.significant(v * 100000000, 64);
    exponent := exponent - 8;
  END LOOP;
  WHILE v < 1 LOOP
    v := sqlite.significant(v * 10, 64);
    exponent := exponent - 1;
  END LOOP;

  -- 3. Take the digits off, 16 at most (et_getdigit), and read them as far as a 64-bit integer goes.
  fixed := trunc(v * two_63);
  FOR place IN 1 .. exponent + 1 + places LOOP
    EXIT WHEN read >= 922337203685477579;
    digit := 0;
    IF place <= 16 THEN
      digit := div(fixed, two_63);
      fixed := (fixed - digit * two_63) * 10;
      IF fixed >= 2 * two_63 THEN
        rest := CASE WHEN fixed >= 8 * two_63 THEN 8 WHEN fixed >= 4 * two_63 THEN 4 ELSE 2 END;
        v := mod(fixed, rest);
        fixed := fixed - v;
        IF v * 2 > rest OR (v * 2 = rest AND mod(div(fixed, rest), 2) = 1) THEN
          fixed := fixed + rest;
        END IF;
      END IF;
    END IF;
    read := read * 10 + digit;
    used := place;
  END LOOP;
  IF read = 0 THEN
    RETURN CASE WHEN value < 0 THEN '-0'::double precision ELSE 0 END;
  END IF;

  -- 4. Divide by the power of ten (sqlite3AtoF), first in 80 bits, then in 64.
  used := used - exponent - 1;
  WHILE used > 0 AND mod(read, 10) = 0 LOOP
    read := div(read, 10);
    used := used - 1;
  END LOOP;
  IF used > 27 THEN  -- from here on the power of ten itself is not exact in 80 bits
    read := div(read * 1e90, sqlite.significant(('1e' || used)::numeric, 64)) * 1e-90;
  ELSE
    read := read * ('1e-' || used)::numeric;
  END IF;
  IF used > 0 THEN
    read := sqlite.significant(sqlite.significant(read, 64), 53);
  END IF;
  RETURN sign(value) * read::double precision;
END
$$;

-- Texts -----------------------------------------------------------------------------------------------------------

-- replace(X, Y, Z): X itself when Y is empty, even if Z is NULL.
CREATE OR REPLACE FUNCTION sqlite.replace(value text, part text, other text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN part = '' THEN value ELSE replace(value, part, other) END;

-- substr(X, Y): from the Y-th character, counted from the end when Y is negative.
CREATE OR REPLACE FUNCTION sqlite.substr(value text, start bigint) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN start > length(value) THEN ''
  WHEN start > 0 THEN substr(value, start::integer)
  WHEN -start >= length(value) OR start = 0 THEN value
  ELSE right(value, (-start)::integer)
END;

-- substr(X, Y, Z): Z characters from there, or the -Z characters before it. The steps are those of substrFunc in
-- SQLite's func.c.
CREATE OR REPLACE FUNCTION sqlite.substr(value text, start bigint, size bigint) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  p1 numeric := start;
  p2 numeric := abs(size::numeric);
BEGIN
  IF p1 < 0 THEN
    p1 := p1 + length(value);
    IF p1 < 0 THEN
      p2 := greatest(p2 + CASE WHEN size < 0 THEN 0 ELSE p1 END, 0);
      p1 := 0;
    END IF;
  ELSIF p1 > 0 THEN
    p1 := p1 - 1;
  ELSIF p2 > 0 THEN
    p2 := p2 - 1;
  END IF;
  IF size < 0 THEN
    p1 := p1 - p2;
    IF p1 < 0 THEN
      p2 := p2 + p1;
      p1 := 0;
    END IF;
  END IF;
  IF p1 >= length(value) OR p2 <= 0 THEN
    RETURN '';
  END IF;
  RETURN substr(value, p1::integer + 1, least(p2, length(value))::integer);
END
$$;

-- X GLOB Y as glob(Y, X): * any text, ? any character, [a-z] [^a-z] a class; all else stands for itself, in its case.
CREATE OR REPLACE FUNCTION sqlite.glob(pattern text, value text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  expression text := '';
  place integer := 1;
  mark text;
  last integer;
  class text;
BEGIN
  WHILE place <= length(pattern) LOOP
    mark := substr(pattern, place, 1);
    IF mark = '*' THEN
      expression := expression || '.*';
    ELSIF mark = '?' THEN
      expression := expression || '.';
    ELSIF mark = '[' THEN
      last := place + 1 + (substr(pattern, place + 1, 1) = '^')::integer;
      last := last + (substr(pattern, last, 1) = ']')::integer;
      WHILE last <= length(pattern) AND substr(pattern, last, 1) <> ']' LOOP
        last := last + 1;
      END LOOP;
      IF last > length(pattern) THEN
        RETURN false;
      END IF;
      class := substr(pattern, place + 1, last - place - 1);
      IF class ~ E'[\\\\\\[]' OR class = '^' OR class = '' OR class ~ '[^-]-[^-]-' OR class ~ E'^\\^?\\]-' THEN
        RAISE feature_not_supported USING MESSAGE = format('GLOB with the class [%s] is not carried over', class);
      END IF;
      expression := expression || '[' || class || ']';
      place := last;
    ELSE
      expression := expression || regexp_replace(mark, '([^[:alnum:]])', E'\\\\\\1');
    END IF;
    place := place + 1;
  END LOOP;
  RETURN value COLLATE "C" ~ ('^(?:' || expression || ')$') COLLATE "C";
END
$$;

-- Time (lang_datefunc.html); stable within a statement, in UTC -----------------------------------------------------

CREATE OR REPLACE FUNCTION sqlite.current_timestamp() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS');

CREATE OR REPLACE FUNCTION sqlite.current_date() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD');

CREATE OR REPLACE FUNCTION sqlite.current_time() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_char(statement_timestamp() AT TIME ZONE 'UTC', 'HH24:MI:SS');

-- LIMIT and OFFSET given by a parameter (lang_select.html, section 5) ----------------------------------------------

-- A negative limit is none; NULL is the error that SQLite makes of it.
CREATE OR REPLACE FUNCTION sqlite.row_limit(value bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  IF value IS NULL THEN
    RAISE datatype_mismatch USING MESSAGE = 'datatype mismatch';
  END IF;
  RETURN CASE WHEN value < 0 THEN NULL ELSE value END;
END
$$;

-- A negative offset is zero.
CREATE OR REPLACE FUNCTION sqlite.row_offset(value bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  IF value IS NULL THEN
    RAISE datatype_mismatch USING MESSAGE = 'datatype mismatch';
  END IF;
  RETURN greatest(value, 0);
END
$$;

-- Ids ---------------------------------------------------------------------------------------------------------------

-- Lets a sequence go on above an id, and never turns it back, however many do so or take its next at once. A short way
-- is gone by numbers that are taken. Of a long one nobody else can go as much between the look and the change; that others
-- who change it do not either, there is a lock, which ends with the block that is undone: a sequence's value is not undone
-- (functions-sequence.html).
CREATE OR REPLACE FUNCTION sqlite.pass_over(sequence regclass, id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
AS $$
DECLARE
  last bigint := coalesce(pg_sequence_last_value(sequence), 0);
BEGIN
  IF id <= last THEN
    RETURN;
  ELSIF id - last <= 1000 THEN
    WHILE nextval(sequence) < id LOOP
    END LOOP;
    RETURN;
  END IF;
  BEGIN
    PERFORM pg_advisory_xact_lock('sqlite.pass_over'::regproc::oid::integer, sequence::oid::integer);
    IF id > coalesce(pg_sequence_last_value(sequence), 0) THEN
      PERFORM setval(sequence, id);
    END IF;
    RAISE SQLSTATE 'DD002';
  EXCEPTION
    WHEN SQLSTATE 'DD002' THEN
      NULL;
  END;
END
$$;

-- The id of a new row: the one given, and the sequence then goes on above it; the sequence's next when it is NULL.
CREATE OR REPLACE FUNCTION sqlite.claim_id(table_name text, column_name text, id bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
  sequence regclass := pg_get_serial_sequence(table_name, column_name);
BEGIN
  IF id IS NULL THEN
    RETURN nextval(sequence);
  END IF;
  PERFORM sqlite.pass_over(sequence, id);
  RETURN id;
END
$$;
