-- What statements need besides their expressions: LIMIT, and the ids of new rows.

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
