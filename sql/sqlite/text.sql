-- Texts: the functions that PostgreSQL has in another way (lang_corefunc.html).

-- replace(X, Y, Z): X itself when Y is empty, even if Z is NULL.
CREATE OR REPLACE FUNCTION sqlite.replace(value text, part text, other text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN part = '' THEN value ELSE replace(value, part, other) END;

-- substr(X, Y): from the Y-th character, counted from the end when Y is negative.
CREATE OR REPLACE FUNCTION sqlite.substr(value text, start bigint) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  -- Without a length it is the greatest that a text may have, which a start further before it uses up.
  WHEN start < -999000000 THEN left(value, greatest(0, 1000000000 + start + length(value))::integer)
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
