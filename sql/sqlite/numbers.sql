-- Numbers: exact comparison, casts, rounding (datatype3.html, lang_expr.html, lang_corefunc.html).

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
