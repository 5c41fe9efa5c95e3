-- Functions that give PostgreSQL SQLite's behaviour. Each may be created again over itself; none needs a superuser.

CREATE SCHEMA IF NOT EXISTS sqlite;

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

-- Texts -----------------------------------------------------------------------------------------------------------

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
      IF class ~ '[\\\[]' OR class = '^' OR class = '' OR class ~ '[^-]-[^-]-' OR class ~ '^\^?\]-' THEN
        RAISE feature_not_supported USING MESSAGE = format('GLOB with the class [%s] is not carried over', class);
      END IF;
      expression := expression || '[' || class || ']';
      place := last;
    ELSE
      expression := expression || regexp_replace(mark, '([^[:alnum:]])', '\\\1');
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
  IF id > coalesce(pg_sequence_last_value(sequence), 0) THEN
    PERFORM setval(sequence, id);
  END IF;
  RETURN id;
END
$$;
