-- Values of any storage class (datatype3.html): what a column or an expression holds whose class varies by row.
--
-- A value is one byte for its class, by SQLite's numbers, and then the value; NULL is NULL (core/types.py says the same):
--
--   01  integer   8 bytes, big-endian, two's complement
--   02  real      8 bytes, IEEE 754, big-endian
--   03  text      its bytes in UTF-8
--   04  blob      its bytes
--
-- Every parameter and result of type bytea in the schema `sqlite` is such a value, a blob too.

-- Making a value --------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION sqlite.value(of bigint) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '\x01'::bytea || int8send(of);

-- NaN is NULL (sqlite3VdbeMemSetDouble).
CREATE OR REPLACE FUNCTION sqlite.value(of double precision) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN of <> 'NaN' THEN '\x02'::bytea || float8send(of) END;

-- A float in a column of NUMERIC affinity: an integer where that is the very same number (sqlite3VdbeIntegerAffinity).
CREATE OR REPLACE FUNCTION sqlite.number_value(of double precision) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN of > -9223372036854775808 AND of < 9223372036854775808 AND of = trunc(of) THEN sqlite.value(of::bigint)
  ELSE sqlite.value(of)
END;

CREATE OR REPLACE FUNCTION sqlite.value(of text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '\x03'::bytea || replace(of, '\', '\\')::bytea;

CREATE OR REPLACE FUNCTION sqlite.blob(of bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '\x04'::bytea || of;

-- Taking it apart; each is asked for the class that the value has ---------------------------------------------------

CREATE OR REPLACE FUNCTION sqlite.typeof(value bytea) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE get_byte(value, 0) WHEN 1 THEN 'integer' WHEN 2 THEN 'real' WHEN 3 THEN 'text' WHEN 4 THEN 'blob' ELSE 'null' END;

CREATE OR REPLACE FUNCTION sqlite.integer_of(value bytea) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ('x' || encode(substr(value, 2), 'hex'))::bit(64)::bigint;

-- IEEE 754 put together again: sign, exponent, mantissa; each step is exact.
CREATE OR REPLACE FUNCTION sqlite.real_of(value bytea) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  bits bigint := sqlite.integer_of(value);
  exponent integer := (bits >> 52) & 2047;
  mantissa bigint := bits & 4503599627370495;
  magnitude double precision;
BEGIN
  IF exponent = 2047 THEN
    magnitude := 'Infinity';
  ELSIF exponent = 0 THEN
    magnitude := mantissa * power(2::double precision, -1074);
  ELSE
    magnitude := (mantissa + 4503599627370496) * power(2::double precision, exponent - 1075);
  END IF;
  RETURN CASE WHEN bits < 0 THEN - magnitude ELSE magnitude END;
END
$$;

-- PostgreSQL's text holds no NUL character and nothing that is not UTF-8: an error there.
CREATE OR REPLACE FUNCTION sqlite.text_of(value bytea) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN convert_from(substr(value, 2), 'UTF8');

-- A text or blob as far as ASCII goes, which is all that numbers are made of; any other byte ends one.
CREATE OR REPLACE FUNCTION sqlite.ascii_of(value bytea) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN encode(substr(value, 2), 'escape');

-- Casts (lang_expr.html, section 4) ---------------------------------------------------------------------------------

-- The number that a text begins with, as arithmetic reads it: 0 where it begins with none (computeNumericType).
CREATE OR REPLACE FUNCTION sqlite.number_in(value text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  numeral text := substring(value from '^[ \t\n\v\f\r]*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)');
BEGIN
  IF numeral IS NULL THEN
    RETURN sqlite.value(0::bigint);
  ELSIF numeral ~ '^[+-]?[0-9]+$' AND numeral::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 THEN
    -- "1.e" and "1e5" are floats, "1e" is the integer 1 with a letter after it.
    RETURN sqlite.value(numeral::bigint);
  END IF;
  RETURN sqlite.value(sqlite.to_real(numeral));
END
$$;

-- The whole text as a number, NULL where it is none: what a numeric affinity makes of it (applyNumericAffinity).
CREATE OR REPLACE FUNCTION sqlite.whole_number_in(value text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN value ~ '^[ \t\n\v\f\r]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t\n\v\f\r]*$' THEN sqlite.number_in(value)
END;

-- A float of a text's beginning, 0.0 where it begins with no number.
CREATE OR REPLACE FUNCTION sqlite.to_real(value text) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  numeral text := substring(value from '^[ \t\n\v\f\r]*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)');
  exponent numeric := coalesce(substring(numeral from '[eE](.*)'), '0')::numeric;
  digits text := substring(numeral from '^[^eE]*');
  size numeric;
BEGIN
  IF numeral IS NULL OR digits !~ '[1-9]' THEN
    RETURN CASE WHEN value ~ '^[ \t\n\v\f\r]*-' THEN '-0'::double precision ELSE 0 END;
  END IF;
  -- Where the first digit that is not zero stands: beyond what a float can be, PostgreSQL would raise an error.
  size := exponent + CASE
    WHEN digits ~ '^[+-]?0*\.' THEN - length(substring(digits from '\.(0*)'))
    ELSE length(substring(digits from '^[+-]?0*([0-9]+)'))
  END;
  IF size > 310 THEN
    RETURN CASE WHEN numeral LIKE '-%' THEN '-Infinity' ELSE 'Infinity' END;
  ELSIF size < -330 THEN
    RETURN CASE WHEN numeral LIKE '-%' THEN '-0'::double precision ELSE 0 END;
  END IF;
  RETURN sqlite.nearest((digits || 'e' || exponent)::numeric);
END
$$;

-- The float nearest to an exact number, infinite beyond the largest, zero below the smallest.
CREATE OR REPLACE FUNCTION sqlite.nearest(exact numeric) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN abs(exact) >= 179769313486231580793728971405301e276 THEN (CASE WHEN exact > 0 THEN 'Infinity' ELSE '-Infinity' END)::double precision
  WHEN abs(exact) <= 2.4703282292062327208e-324 THEN (CASE WHEN exact < 0 THEN '-0' ELSE '0' END)::double precision
  ELSE exact::double precision
END;

-- CAST(float AS TEXT): printf's %!.15g.
CREATE OR REPLACE FUNCTION sqlite.to_text(value double precision) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  written text := value;
  mantissa text := split_part(written, 'e', 1);
  exponent integer;
  digits text;
BEGIN
  IF value = 0 THEN
    RETURN '0.0';
  ELSIF value IN ('Infinity', '-Infinity') THEN
    RETURN CASE WHEN value > 0 THEN 'Inf' ELSE '-Inf' END;
  END IF;
  IF length(ltrim(translate(mantissa, '-.', ''), '0')) > 15 OR abs(value) < 2.2250738585072014e-308 THEN
    -- PostgreSQL writes as many digits as tell the float from all others, which are fewer near zero; here are 15.
    written := to_char(sqlite.exact(value), '9.99999999999999EEEE');
    mantissa := split_part(trim(written), 'e', 1);
    exponent := split_part(written, 'e', 2)::integer;
    digits := rtrim(translate(mantissa, '-.', ''), '0');
    IF exponent BETWEEN -4 AND 14 THEN
      written := CASE
        WHEN exponent < 0 THEN '0.' || repeat('0', - exponent - 1) || digits
        WHEN length(digits) <= exponent + 1 THEN rpad(digits, exponent + 1, '0')
        ELSE left(digits, exponent + 1) || '.' || substr(digits, exponent + 2)
      END;
    ELSE
      written := left(digits, 1) || '.' || substr(digits || CASE WHEN length(digits) = 1 THEN '0' ELSE '' END, 2) || 'e'
        || CASE WHEN exponent < 0 THEN '-' ELSE '+' END || lpad(abs(exponent)::text, greatest(2, length(abs(exponent)::text)), '0');
    END IF;
    written := CASE WHEN value < 0 THEN '-' ELSE '' END || written;
  END IF;
  RETURN CASE WHEN split_part(written, 'e', 1) ~ '\.' THEN written
    WHEN written ~ 'e' THEN replace(written, 'e', '.0e')
    ELSE written || '.0' END;
END
$$;

CREATE OR REPLACE FUNCTION sqlite.to_text(value bytea) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE get_byte(value, 0)
  WHEN 1 THEN sqlite.integer_of(value)::text
  WHEN 2 THEN sqlite.to_text(sqlite.real_of(value))
  ELSE sqlite.text_of(value)
END;

CREATE OR REPLACE FUNCTION sqlite.to_integer(value bytea) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE get_byte(value, 0)
  WHEN 1 THEN sqlite.integer_of(value)
  WHEN 2 THEN sqlite.to_integer(sqlite.real_of(value))
  ELSE sqlite.to_integer(sqlite.ascii_of(value))
END;

CREATE OR REPLACE FUNCTION sqlite.to_real(value bytea) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE get_byte(value, 0)
  WHEN 1 THEN sqlite.integer_of(value)::double precision
  WHEN 2 THEN sqlite.real_of(value)
  ELSE sqlite.to_real(sqlite.ascii_of(value))
END;

-- The number that arithmetic takes a value for.
CREATE OR REPLACE FUNCTION sqlite.number_in(value bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN get_byte(value, 0) <= 2 THEN value ELSE sqlite.number_in(sqlite.ascii_of(value)) END;

-- CAST(… AS NUMERIC): a number stays what it is; the float that a text begins with becomes an integer where it is one and
-- below 2^51 (sqlite3RealSameAsInt), less far than where a column takes it (number_value).
CREATE OR REPLACE FUNCTION sqlite.to_numeric(value bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  number bytea := sqlite.number_in(value);
BEGIN
  IF get_byte(value, 0) > 2 AND get_byte(number, 0) = 2
    AND sqlite.real_of(number) >= -2251799813685248 AND sqlite.real_of(number) < 2251799813685248
  THEN
    RETURN sqlite.number_value(sqlite.real_of(number));
  END IF;
  RETURN number;
END
$$;

-- Truth (lang_expr.html, section 14): a value that is not zero as a number.
CREATE OR REPLACE FUNCTION sqlite.is_true(value bytea) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN get_byte(value, 0) = 1 THEN sqlite.integer_of(value) <> 0 ELSE sqlite.to_real(value) <> 0 END;

CREATE OR REPLACE FUNCTION sqlite.is_true(value text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sqlite.to_real(value) <> 0;

-- Affinity that a comparison applies to its other side (datatype3.html, section 4.2) --------------------------------

CREATE OR REPLACE FUNCTION sqlite.as_number(value bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN get_byte(value, 0) = 3 THEN coalesce(sqlite.whole_number_in(sqlite.ascii_of(value)), value) ELSE value END;

CREATE OR REPLACE FUNCTION sqlite.as_text(value bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN get_byte(value, 0) <= 2 THEN sqlite.value(sqlite.to_text(value)) ELSE value END;

-- Collations (datatype3.html, section 7) ------------------------------------------------------------------------

-- What NOCASE compares by: the text with the 26 ASCII capitals made small.
CREATE OR REPLACE FUNCTION sqlite.nocase(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN lower(value COLLATE "C");

-- Order (datatype3.html, section 4.1) -------------------------------------------------------------------------------
--
-- Numbers before texts before blobs; bytes such that PostgreSQL's own =, < and ORDER BY on bytea are SQLite's on values.
-- A number is the nearest float, its bits brought into order, and how far the number is above that float.

CREATE OR REPLACE FUNCTION sqlite.number_key(bits bigint, rest bigint) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '\x01'::bytea || int8send(CASE WHEN bits < 0 THEN ~bits ELSE bits # (-9223372036854775808) END) || int2send((rest + 1024)::smallint);

CREATE OR REPLACE FUNCTION sqlite.key(value bigint) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sqlite.number_key(
  sqlite.integer_of('\x02'::bytea || float8send(value::double precision)),
  CASE
    WHEN value BETWEEN -9007199254740992 AND 9007199254740992 THEN 0
    WHEN value::double precision = 9223372036854775808 THEN value - 9223372036854775807 - 1
    ELSE value - value::double precision::bigint
  END);

CREATE OR REPLACE FUNCTION sqlite.key(value double precision) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sqlite.number_key(sqlite.integer_of('\x02'::bytea || float8send(value + 0)), 0);  -- -0.0 is 0.0

CREATE OR REPLACE FUNCTION sqlite.key(value bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE get_byte(value, 0)
  WHEN 1 THEN sqlite.key(sqlite.integer_of(value))
  WHEN 2 THEN sqlite.number_key(CASE WHEN value = '\x028000000000000000' THEN 0 ELSE sqlite.integer_of(value) END, 0)
  WHEN 3 THEN '\x02'::bytea || substr(value, 2)
  ELSE '\x03'::bytea || substr(value, 2)
END;

-- The same under a collation: nocase makes the 26 ASCII capitals small, rtrim does not see spaces at the end.
CREATE OR REPLACE FUNCTION sqlite.key(value bytea, collation_name text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN get_byte(value, 0) <> 3 THEN sqlite.key(value)
  WHEN collation_name = 'NOCASE' THEN sqlite.key(sqlite.value(sqlite.nocase(sqlite.text_of(value))))
  WHEN collation_name = 'RTRIM' THEN sqlite.key(sqlite.value(rtrim(sqlite.text_of(value), ' ')))
  ELSE sqlite.key(value)
END;

-- Arithmetic (lang_expr.html, section 2): integers as long as they fit into 64 bits, then floats ----------------------

-- Floats as the processor computes them. PostgreSQL raises an error where a result is infinite or, of numbers that are not
-- zero, zero; near there the result is the float nearest to the exact one, which is the same.

CREATE OR REPLACE FUNCTION sqlite.sum_of(a double precision, b double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN greatest(abs(a), abs(b)) NOT BETWEEN 4e307 AND 1.7976931348623157e308 THEN a + b
  ELSE sqlite.nearest(sqlite.exact(a) + sqlite.exact(b))
END;

CREATE OR REPLACE FUNCTION sqlite.product_of(a double precision, b double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN a = 0 OR b = 0 OR 'Infinity' IN (abs(a), abs(b)) THEN a * b
  WHEN abs(ln(abs(a)) + ln(abs(b))) < 690 THEN a * b
  ELSE sqlite.nearest(sqlite.exact(a) * sqlite.exact(b))
END;

CREATE OR REPLACE FUNCTION sqlite.quotient_of(a double precision, b double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN b = 0 THEN NULL
  WHEN a = 0 OR 'Infinity' IN (abs(a), abs(b)) THEN a / b
  WHEN abs(ln(abs(a)) - ln(abs(b))) < 690 THEN a / b
  ELSE sqlite.nearest(sqlite.exact(a) * 1e400 / sqlite.exact(b) * 1e-400)
END;

CREATE OR REPLACE FUNCTION sqlite.add(a bytea, b bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  x bytea := sqlite.number_in(a);
  y bytea := sqlite.number_in(b);
  exact numeric;
BEGIN
  IF get_byte(x, 0) = 1 AND get_byte(y, 0) = 1 THEN
    exact := sqlite.integer_of(x)::numeric + sqlite.integer_of(y);
    IF exact BETWEEN -9223372036854775808 AND 9223372036854775807 THEN
      RETURN sqlite.value(exact::bigint);
    END IF;
  END IF;
  RETURN sqlite.value(sqlite.sum_of(sqlite.to_real(a), sqlite.to_real(b)));
END
$$;

CREATE OR REPLACE FUNCTION sqlite.subtract(a bytea, b bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  x bytea := sqlite.number_in(a);
  y bytea := sqlite.number_in(b);
  exact numeric;
BEGIN
  IF get_byte(x, 0) = 1 AND get_byte(y, 0) = 1 THEN
    exact := sqlite.integer_of(x)::numeric - sqlite.integer_of(y);
    IF exact BETWEEN -9223372036854775808 AND 9223372036854775807 THEN
      RETURN sqlite.value(exact::bigint);
    END IF;
  END IF;
  RETURN sqlite.value(sqlite.sum_of(sqlite.to_real(a), - sqlite.to_real(b)));
END
$$;

CREATE OR REPLACE FUNCTION sqlite.multiply(a bytea, b bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  x bytea := sqlite.number_in(a);
  y bytea := sqlite.number_in(b);
  exact numeric;
BEGIN
  IF get_byte(x, 0) = 1 AND get_byte(y, 0) = 1 THEN
    exact := sqlite.integer_of(x)::numeric * sqlite.integer_of(y);
    IF exact BETWEEN -9223372036854775808 AND 9223372036854775807 THEN
      RETURN sqlite.value(exact::bigint);
    END IF;
  END IF;
  RETURN sqlite.value(sqlite.product_of(sqlite.to_real(a), sqlite.to_real(b)));
END
$$;

CREATE OR REPLACE FUNCTION sqlite.divide(a bytea, b bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  x bytea := sqlite.number_in(a);
  y bytea := sqlite.number_in(b);
BEGIN
  IF get_byte(x, 0) = 1 AND get_byte(y, 0) = 1 THEN
    IF sqlite.integer_of(y) = 0 THEN
      RETURN NULL;
    ELSIF sqlite.integer_of(y) <> -1 OR sqlite.integer_of(x) <> -9223372036854775808 THEN
      RETURN sqlite.value(sqlite.integer_of(x) / sqlite.integer_of(y));
    END IF;
  END IF;
  RETURN sqlite.value(sqlite.quotient_of(sqlite.to_real(a), sqlite.to_real(b)));
END
$$;

-- Both sides as integers; a float where one of them was none.
CREATE OR REPLACE FUNCTION sqlite.modulo(a bytea, b bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  x bytea := sqlite.number_in(a);
  y bytea := sqlite.number_in(b);
  divisor bigint := sqlite.to_integer(b);
  rest bigint;
BEGIN
  IF divisor = 0 THEN
    RETURN NULL;
  END IF;
  rest := CASE WHEN divisor = -1 THEN 0 ELSE sqlite.to_integer(a) % divisor END;
  RETURN CASE WHEN get_byte(x, 0) = 1 AND get_byte(y, 0) = 1 THEN sqlite.value(rest) ELSE sqlite.value(rest::double precision) END;
END
$$;

-- 0 - x
CREATE OR REPLACE FUNCTION sqlite.negate(value bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sqlite.subtract(sqlite.value(0::bigint), value);

-- x << y; a negative y shifts the other way, 64 and more leave nothing but the sign of a shift to the right.
CREATE OR REPLACE FUNCTION sqlite.shift_left(value bigint, places bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN places >= 64 THEN 0
  WHEN places >= 0 THEN value << places::integer
  WHEN places > -64 THEN value >> (- places)::integer
  WHEN value < 0 THEN -1
  ELSE 0
END;

CREATE OR REPLACE FUNCTION sqlite.shift_right(value bigint, places bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN places >= 64 THEN CASE WHEN value < 0 THEN -1 ELSE 0 END
  WHEN places >= 0 THEN value >> places::integer
  WHEN places > -64 THEN value << (- places)::integer
  ELSE 0
END;

-- What sum() adds of a value: an integer of what is or looks like one, a float of all else (sqlite3_value_numeric_type).
CREATE OR REPLACE FUNCTION sqlite.summand(value bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN get_byte(value, 0) <= 2 THEN value
  ELSE coalesce(
    CASE WHEN get_byte(value, 0) = 3 THEN sqlite.whole_number_in(sqlite.ascii_of(value)) END,
    sqlite.value(sqlite.to_real(value)))
END;
