-- What statements need besides their expressions: LIMIT, and the ids of new rows.

-- LIMIT and OFFSET given by a parameter (lang_select.html, section 5) ----------------------------------------------

-- A negative limit is none; NULL is the error that SQLite makes of it.
CREATE OR REPLACE FUNCTION sqlite.row_limit(value bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  IF value IS NULL THEN
    RAISE SQLSTATE 'DD004' USING MESSAGE = 'datatype mismatch';
  END IF;
  RETURN CASE WHEN value < 0 THEN NULL ELSE value END;
END
$$;

-- An integer, or what is one without loss (OP_MustBeInt).
CREATE OR REPLACE FUNCTION sqlite.must_be_integer(value bytea) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  number bytea := sqlite.stored(value, 'INTEGER');
BEGIN
  IF number IS NULL OR get_byte(number, 0) <> 1 THEN
    RAISE SQLSTATE 'DD004' USING MESSAGE = 'datatype mismatch';
  END IF;
  RETURN sqlite.integer_of(number);
END
$$;

-- A negative offset is zero.
CREATE OR REPLACE FUNCTION sqlite.row_offset(value bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  IF value IS NULL THEN
    RAISE SQLSTATE 'DD004' USING MESSAGE = 'datatype mismatch';
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

-- Values into columns (datatype3.html, section 3) -------------------------------------------------------------------

-- What a column of that affinity stores of a value (core/types.py, apply_affinity).
CREATE OR REPLACE FUNCTION sqlite.stored(value bytea, affinity text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  number bytea;
BEGIN
  IF affinity = 'BLOB' OR get_byte(value, 0) = 4 THEN
    RETURN value;
  ELSIF affinity = 'TEXT' THEN
    RETURN sqlite.as_text(value);
  END IF;
  number := CASE WHEN get_byte(value, 0) = 3 THEN sqlite.whole_number_in(sqlite.ascii_of(value)) ELSE value END;
  IF number IS NULL THEN
    RETURN value;
  ELSIF affinity = 'REAL' THEN
    RETURN sqlite.value(sqlite.to_real(number) + 0);
  END IF;
  RETURN CASE WHEN get_byte(number, 0) = 2 THEN sqlite.number_value(sqlite.real_of(number)) ELSE number END;
END
$$;

-- What the column holds on PostgreSQL, where its values are of one class; another class is an error.

CREATE OR REPLACE FUNCTION sqlite.misfit(value bytea, column_name text, class text) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  RAISE SQLSTATE 'DD003' USING MESSAGE = format('%s cannot take this value on PostgreSQL: %s in a column of %s',
    column_name, CASE sqlite.typeof(value) WHEN 'integer' THEN 'an integer' WHEN 'real' THEN 'a float' WHEN 'text' THEN 'text' ELSE 'a blob' END,
    class);
END
$$;

CREATE OR REPLACE FUNCTION sqlite.only_integer(value bytea, column_name text) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  IF get_byte(value, 0) <> 1 THEN
    PERFORM sqlite.misfit(value, column_name, 'integers');
  END IF;
  RETURN sqlite.integer_of(value);
END
$$;

CREATE OR REPLACE FUNCTION sqlite.only_real(value bytea, column_name text) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  IF get_byte(value, 0) <> 2 THEN
    PERFORM sqlite.misfit(value, column_name, 'floats');
  END IF;
  RETURN sqlite.real_of(value);
END
$$;

CREATE OR REPLACE FUNCTION sqlite.only_number(value bytea, column_name text) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  IF get_byte(value, 0) > 2 THEN
    PERFORM sqlite.misfit(value, column_name, 'numbers');
  END IF;
  RETURN CASE WHEN get_byte(value, 0) = 1 THEN sqlite.number(sqlite.integer_of(value)) ELSE sqlite.real_of(value) END;
END
$$;

CREATE OR REPLACE FUNCTION sqlite.only_text(value bytea, column_name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  IF get_byte(value, 0) <> 3 THEN
    PERFORM sqlite.misfit(value, column_name, 'text');
  END IF;
  RETURN sqlite.text_of(value);
END
$$;

CREATE OR REPLACE FUNCTION sqlite.only_blob(value bytea, column_name text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  IF get_byte(value, 0) <> 4 THEN
    PERFORM sqlite.misfit(value, column_name, 'blobs');
  END IF;
  RETURN substr(value, 2);
END
$$;
