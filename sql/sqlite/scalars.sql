-- Scalar functions over values of any class (lang_corefunc.html).

-- length(X): characters of a text up to its first NUL character, bytes of a blob, of a number as it is printed.
CREATE OR REPLACE FUNCTION sqlite.length(value bytea) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN get_byte(value, 0) = 4 THEN octet_length(value) - 1 ELSE length(sqlite.to_text(value)) END;

-- abs(X): an integer of an integer, a float of all else, 0.0 of what is no number.
CREATE OR REPLACE FUNCTION sqlite.absolute(value bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN get_byte(value, 0) = 1 THEN sqlite.value(abs(sqlite.integer_of(value)))
  ELSE sqlite.value(sqlite.absolute(sqlite.to_real(value)))
END;

-- sign(X): -1, 0 or 1 of a number or of a text that is one, NULL of all else.
CREATE OR REPLACE FUNCTION sqlite.sign(value bytea) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN get_byte(sqlite.as_number(value), 0) <= 2 THEN sign(sqlite.to_real(sqlite.as_number(value)))::bigint
END;

-- round(X, Y) of what is or begins with a number.
CREATE OR REPLACE FUNCTION sqlite.round(value bytea, digits bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sqlite.round(sqlite.to_real(value), digits);

-- quote(X): the literal that X is written as.
CREATE OR REPLACE FUNCTION sqlite.quote(value bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  number double precision;
  written text;
BEGIN
  IF value IS NULL THEN
    RETURN 'NULL';
  END IF;
  CASE get_byte(value, 0)
    WHEN 1 THEN
      RETURN sqlite.integer_of(value)::text;
    WHEN 2 THEN
      number := sqlite.real_of(value);
      IF abs(number) = 'Infinity' THEN
        RETURN CASE WHEN number > 0 THEN 'Inf' ELSE '-Inf' END;
      END IF;
      written := sqlite.to_text(number);
      -- 15 digits where they are the number, 20 where they are not (quoteFunc in func.c)
      IF sqlite.to_real(written) <> number THEN
        RAISE feature_not_supported USING MESSAGE = 'quote() of a float of more than 15 digits';
      END IF;
      RETURN written;
    WHEN 3 THEN
      RETURN '''' || replace(sqlite.text_of(value), '''', '''''') || '''';
    ELSE
      RETURN 'X''' || upper(encode(substr(value, 2), 'hex')) || '''';
  END CASE;
END
$$;

-- substr(X, Y, Z) of a blob counts bytes, of all else characters of its text.
CREATE OR REPLACE FUNCTION sqlite.part(value bytea, start bigint, size bigint) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
  IF get_byte(value, 0) = 4 THEN
    -- An empty blob has no address, and is taken for NULL (substrFunc in func.c).
    RETURN CASE WHEN octet_length(value) > 1 THEN '\x04'::bytea || decode(sqlite.part_of_pairs(encode(substr(value, 2), 'hex'), start, size), 'hex') END;
  END IF;
  RETURN sqlite.value(sqlite.substr(sqlite.to_text(value), start, size));
END
$$;

CREATE OR REPLACE FUNCTION sqlite.part(value bytea, start bigint) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sqlite.part(value, start, 1000000000);

-- The same of bytes that are written as two digits each: which of them are meant is told by a text of that many places.
CREATE OR REPLACE FUNCTION sqlite.part_of_pairs(digits text, start bigint, size bigint) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  places bigint := length(digits) / 2;
  p1 numeric := start;
  p2 numeric := abs(size::numeric);
BEGIN
  IF p1 < 0 THEN
    p1 := p1 + places;
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
  IF p1 >= places OR p2 <= 0 THEN
    RETURN '';
  END IF;
  RETURN substr(digits, p1::integer * 2 + 1, least(p2, places)::integer * 2);
END
$$;

-- instr(X, Y): by bytes where both are blobs, else by characters of their texts.
CREATE OR REPLACE FUNCTION sqlite.instr(value bytea, part bytea) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN get_byte(value, 0) = 4 AND get_byte(part, 0) = 4
    THEN CASE WHEN octet_length(part) = 1 THEN 1 ELSE position(substr(part, 2) IN substr(value, 2)) END
  ELSE strpos(sqlite.to_text(value) COLLATE "C", sqlite.to_text(part))
END;

-- char(X1, X2, …): the characters of these code points, U+FFFD for what is beyond them (charFunc in func.c). PostgreSQL's
-- text holds neither NUL nor half a surrogate pair: an error.
CREATE OR REPLACE FUNCTION sqlite.char(VARIADIC codes bigint[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
  SELECT coalesce(string_agg(chr(CASE
    WHEN code < 0 OR code > 1114111 THEN 65533 ELSE code::integer END), '' ORDER BY place), '')
  FROM unnest(codes) WITH ORDINALITY AS given (code, place));

-- The smallest and the largest of several values, NULL where one is NULL. Of those that are equal min() takes the last and
-- max() the first (minmaxFunc in func.c).
CREATE OR REPLACE FUNCTION sqlite.minimum(collation_name text, VARIADIC given bytea[]) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN array_position(given, NULL) IS NULL THEN (
  SELECT v FROM unnest(given) WITH ORDINALITY AS u (v, n) ORDER BY sqlite.key(v, collation_name), n DESC LIMIT 1) END;

CREATE OR REPLACE FUNCTION sqlite.maximum(collation_name text, VARIADIC given bytea[]) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN array_position(given, NULL) IS NULL THEN (
  SELECT v FROM unnest(given) WITH ORDINALITY AS u (v, n) ORDER BY sqlite.key(v, collation_name) DESC, n LIMIT 1) END;

-- random() and randomblob(N)
CREATE OR REPLACE FUNCTION sqlite.random() RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN ('x' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 12) || substr(replace(gen_random_uuid()::text, '-', ''), 9, 4))::bit(64)::bigint;

CREATE OR REPLACE FUNCTION sqlite.randomblob(size bigint) RETURNS bytea
LANGUAGE plpgsql VOLATILE PARALLEL SAFE
AS $$
DECLARE
  made bytea := '';
BEGIN
  WHILE octet_length(made) < greatest(coalesce(size, 1), 1) LOOP
    made := made || int8send(sqlite.random());
  END LOOP;
  RETURN '\x04'::bytea || substr(made, 1, greatest(coalesce(size, 1), 1)::integer);
END
$$;
