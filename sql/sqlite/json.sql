-- JSON (json1.html), as json.c of SQLite 3.40 has it: text in, text out, each byte as SQLite would write it.
--
-- A document is text; a value of another class is given as the text that it is (CAST(X AS TEXT)). An *item* is what
-- stands in JSON for a value: the value itself where it is JSON, sqlite.json_quote() of it where it is not; one knows
-- which of an expression, not of a value (json1.html, section 3.4).
--
-- PostgreSQL's type json keeps the text that it was made of, so the way through a document goes by its functions. But
-- they decode escapes, refuse some, and of two members with one label take the last: SQLite takes the first, and
-- compares labels as they are written.

-- Well-formed or not ------------------------------------------------------------------------------------------------

-- Whether PostgreSQL takes it for JSON, by the same grammar as SQLite's (jsonParseValue).
CREATE OR REPLACE FUNCTION sqlite.is_json(document text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
  RETURN pg_input_is_valid(document, 'json');
END
$$;

-- json_valid(X); NULL is not. JSON_MAX_DEPTH is 2000.
CREATE OR REPLACE FUNCTION sqlite.json_valid(document text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  brackets text;
BEGIN
  IF document IS NULL THEN
    RETURN false;
  ELSIF NOT sqlite.is_json(document) THEN
    -- SQLite 3.40 also takes an array or object for a label if a string ends it, and then reads beyond its nodes.
    IF regexp_replace(document, '"(?:[^"\\]|\\.)*"', '', 'g') ~ '[]}][ \t\n\r]*:' THEN
      RAISE feature_not_supported USING MESSAGE = 'JSON with an array or an object for a label is not carried over';
    END IF;
    RETURN false;
  ELSIF octet_length(document) <= 4000
    OR octet_length(document) - octet_length(translate(document, '[{', '')) <= 2000 THEN
    RETURN true;
  END IF;
  brackets := translate(regexp_replace(document, '"(?:[^"\\]|\\.)*"|[^][{}"]+', '', 'g'), '{}', '[]');
  FOR depth IN 1 .. 2000 LOOP
    brackets := replace(brackets, '[]', '');
    EXIT WHEN brackets = '';
  END LOOP;
  RETURN brackets = '';
END
$$;

-- The document itself; an error where it is none. Less than 4,000 bytes are not too deep.
CREATE OR REPLACE FUNCTION sqlite.json_checked(document text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
  IF octet_length(document) <= 4000 AND sqlite.is_json(document) THEN
    RETURN document;
  ELSIF NOT sqlite.json_valid(document) THEN
    RAISE EXCEPTION USING ERRCODE = 'DD100', MESSAGE = 'malformed JSON';
  END IF;
  RETURN document;
END
$$;

-- Escapes, hidden from PostgreSQL's functions: a character that is nowhere in the text stands for each backslash, the
-- next one for each quote with its backslash. Zero where there is nothing to hide.

CREATE OR REPLACE FUNCTION sqlite.json_free_mark(value text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  mark integer := 64976;  -- U+FDD0, no character in any text that is exchanged
BEGIN
  WHILE strpos(value, chr(mark)) > 0 OR strpos(value, chr(mark + 1)) > 0 LOOP
    mark := mark + 1;
  END LOOP;
  RETURN mark;
END
$$;

CREATE OR REPLACE FUNCTION sqlite.json_mark(value text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN strpos(value, '\') = 0 THEN 0 ELSE sqlite.json_free_mark(value) END;

CREATE OR REPLACE FUNCTION sqlite.json_masked(value text, mark integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN mark = 0 THEN value
  ELSE replace(replace(replace(value, '\\', chr(mark) || chr(mark)), '\"', chr(mark + 1)), '\', chr(mark))
END;

CREATE OR REPLACE FUNCTION sqlite.json_unmasked(value text, mark integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN mark = 0 THEN value ELSE replace(replace(value, chr(mark + 1), '\"'), chr(mark), '\') END;

-- A well-formed document without the space between its tokens (jsonRenderNode). PostgreSQL has a function that writes
-- JSON anew so, token by token; it would leave out nulls, which are numbers meanwhile.
CREATE OR REPLACE FUNCTION sqlite.json_minified(document text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  mark integer;
  masked text;
  number text := '0e1';  -- longer than any like it; as it has but one zero, none is found across its ends
BEGIN
  IF document !~ '[ \t\n\r]' THEN
    RETURN document;
  END IF;
  mark := sqlite.json_mark(document);
  masked := sqlite.json_masked(document, mark);
  WHILE strpos(masked, number) > 0 LOOP
    number := number || '1';
  END LOOP;
  masked := replace(json_strip_nulls(replace(masked, 'null', number)::json)::text, number, 'null');
  RETURN sqlite.json_unmasked(masked, mark);
END
$$;

-- json(X)
CREATE OR REPLACE FUNCTION sqlite.json(document text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sqlite.json_minified(sqlite.json_checked(document));

-- Values and items ------------------------------------------------------------------------------------------------
--
-- An element is the text of one value within a well-formed document.

-- A string's text as a value (jsonReturn): it ends before an escaped NUL; half of a surrogate pair is three bytes by
-- itself, which no text of PostgreSQL's holds.
CREATE OR REPLACE FUNCTION sqlite.json_string(element text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  body text := substr(element, 2, length(element) - 2);
  head text;
  half integer;
BEGIN
  IF strpos(body, '\') = 0 THEN
    RETURN sqlite.value(body);
  ELSIF strpos(body, '\u') = 0 THEN
    RETURN sqlite.value(('[' || element || ']')::json ->> 0);
  END IF;
  body := substring(body from '^(?:[^\\]|\\(?!u0000).)*');
  head := substring(body from
    '^(?:[^\\]|\\[^u]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)*');
  IF head = body THEN
    RETURN sqlite.value(('["' || body || '"]')::json ->> 0);
  END IF;
  half := ('x' || lpad(substr(body, length(head) + 3, 4), 8, '0'))::bit(32)::integer;
  RETURN sqlite.json_string('"' || head || '"')
    || decode(to_hex(14712960 + ((half >> 12) << 16) + (((half >> 6) & 63) << 8) + (half & 63)), 'hex')
    || substr(sqlite.json_string('"' || substr(body, length(head) + 7) || '"'), 2);
END
$$;

-- What SQL has for an element (jsonReturn); arrays and objects as JSON.
CREATE OR REPLACE FUNCTION sqlite.json_value(element text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  first text := left(element, 1);
BEGIN
  IF first = '"' THEN
    RETURN sqlite.json_string(element);
  ELSIF first IN ('{', '[') THEN
    RETURN sqlite.value(sqlite.json_minified(element));
  ELSIF first IN ('t', 'f') THEN
    RETURN sqlite.value((first = 't')::integer::bigint);
  ELSIF first = 'n' THEN
    RETURN NULL;
  ELSIF element !~ '[.eE]' AND (
    length(element) <= 18 OR element::numeric BETWEEN -9223372036854775808 AND 9223372036854775807) THEN
    RETURN sqlite.value(element::bigint);
  END IF;
  RETURN sqlite.value(sqlite.to_real(element));
END
$$;

-- What json_type() calls an element.
CREATE OR REPLACE FUNCTION sqlite.json_kind(element text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE left(element, 1)
  WHEN '{' THEN 'object'
  WHEN '[' THEN 'array'
  WHEN '"' THEN 'text'
  WHEN 't' THEN 'true'
  WHEN 'f' THEN 'false'
  WHEN 'n' THEN 'null'
  ELSE CASE element ~ '[.eE]' WHEN true THEN 'real' WHEN false THEN 'integer' END
END;

-- json_quote(X): the item for a value (jsonAppendValue). PostgreSQL escapes the same characters the same way
-- (jsonAppendString).
CREATE OR REPLACE FUNCTION sqlite.json_quote(value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  RETURN coalesce(to_json(value)::text, 'null');
END
$$;

CREATE OR REPLACE FUNCTION sqlite.json_quote(value bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(value::text, 'null');

-- An infinite one is no JSON, there as here.
CREATE OR REPLACE FUNCTION sqlite.json_quote(value double precision) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(sqlite.to_text(value), 'null');

CREATE OR REPLACE FUNCTION sqlite.json_quote(value bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  IF value IS NULL THEN
    RETURN 'null';
  ELSIF get_byte(value, 0) = 4 THEN
    RAISE EXCEPTION USING ERRCODE = 'DD100', MESSAGE = 'JSON cannot hold BLOB values';
  ELSIF get_byte(value, 0) = 3 THEN
    RETURN sqlite.json_quote(sqlite.text_of(value));
  END IF;
  RETURN sqlite.to_text(value);
END
$$;

-- Arrays and objects of items; an item that is NULL is null -----------------------------------------------------------

-- json_array(X, ...)
CREATE OR REPLACE FUNCTION sqlite.json_array(VARIADIC items text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  RETURN '[' || array_to_string(items, ',', 'null') || ']';
END
$$;

-- One label and item of json_object(X, Y, ...); the label must be text.
CREATE OR REPLACE FUNCTION sqlite.json_member(label bytea, item text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  IF sqlite.typeof(label) <> 'text' THEN
    RAISE EXCEPTION USING ERRCODE = 'DD100', MESSAGE = 'json_object() labels must be TEXT';
  END IF;
  RETURN sqlite.json_quote(sqlite.text_of(label)) || ':' || coalesce(item, 'null');
END
$$;

CREATE OR REPLACE FUNCTION sqlite.json_member(label text, item text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  IF label IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'DD100', MESSAGE = 'json_object() labels must be TEXT';
  END IF;
  RETURN sqlite.json_quote(label) || ':' || coalesce(item, 'null');
END
$$;

-- json_object() of such members.
CREATE OR REPLACE FUNCTION sqlite.json_object(VARIADIC members text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  RETURN '{' || array_to_string(members, ',') || '}';
END
$$;

-- One label and item of json_group_object(X, Y): the label as text, nothing where it is NULL (jsonObjectStep).
CREATE OR REPLACE FUNCTION sqlite.json_group_member(label text, item text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN label IS NULL THEN '' ELSE sqlite.json_quote(label) END || ':' || coalesce(item, 'null');

-- json_group_array() of items and json_group_object() of members, '[]' and '{}' of none.
CREATE OR REPLACE AGGREGATE sqlite.json_group_array(item text) (
  SFUNC = array_append, STYPE = text[], INITCOND = '{}', FINALFUNC = sqlite.json_array, PARALLEL = SAFE
);

CREATE OR REPLACE AGGREGATE sqlite.json_group_object(member text) (
  SFUNC = array_append, STYPE = text[], INITCOND = '{}', FINALFUNC = sqlite.json_object, PARALLEL = SAFE
);

-- Paths (json1.html, section 3.3) -------------------------------------------------------------------------------------

-- The error that a path makes of which this is left (jsonPathSyntaxError).
CREATE OR REPLACE FUNCTION sqlite.json_path_error(rest text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'DD100', MESSAGE = format('JSON path error near ''%s''', replace(rest, '''', ''''''));
END
$$;

-- What a path is after its '$'.
CREATE OR REPLACE FUNCTION sqlite.json_steps(path text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN path LIKE '$%' THEN substr(path, 2) ELSE sqlite.json_path_error(path) END;

-- The first step of the rest of a path, as it is written; NULL where no such step leads into a container of that kind,
-- '{' or '[', and of that many elements (jsonLookupStep). An error further on is one when the way leads there.
CREATE OR REPLACE FUNCTION sqlite.json_step(container text, rest text, size bigint) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  step text;
BEGIN
  IF rest LIKE '.%' THEN
    IF container <> '{' THEN
      RETURN NULL;
    END IF;
    step := CASE
      WHEN rest LIKE '."%' THEN '."' || split_part(rest, '"', 2) || '"'
      ELSE '.' || split_part(split_part(rest, '.', 2), '[', 1)
    END;
    IF step <> '.' AND starts_with(rest, step) THEN
      RETURN step;
    END IF;
    RETURN sqlite.json_path_error(substr(rest, 2));
  END IF;
  step := split_part(rest, ']', 1) || ']';
  IF rest LIKE '[#%' THEN
    IF container <> '[' OR substring(rest from '^\[#-([0-9]+)')::numeric % 4294967296 > size THEN
      RETURN NULL;
    ELSIF step ~ '^\[#(-[0-9]+)?\]$' AND starts_with(rest, step) THEN
      RETURN step;
    END IF;
  ELSIF step ~ '^\[[0-9]+\]$' AND starts_with(rest, step) THEN
    RETURN CASE WHEN container = '[' THEN step END;
  END IF;
  RETURN sqlite.json_path_error(rest);
END
$$;

-- The label of a step into an object.
CREATE OR REPLACE FUNCTION sqlite.json_step_label(step text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN step LIKE '."%' THEN substr(step, 3, length(step) - 3) ELSE substr(step, 2) END;

-- How many elements a step passes by in an array of that many; a number has 32 bits.
CREATE OR REPLACE FUNCTION sqlite.json_step_place(step text, size bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN step = '[#]' THEN size
  WHEN step LIKE '[#%' THEN size - (substring(step from '[0-9]+')::numeric % 4294967296)::bigint
  ELSE (substring(step from '[0-9]+')::numeric % 4294967296)::bigint
END;

-- The path that -> and ->> take a label or a number for.
CREATE OR REPLACE FUNCTION sqlite.json_path(path text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN path LIKE '$%' THEN path
  WHEN path LIKE '[%' THEN '$' || path
  WHEN path ~ '^[0-9]' THEN '$[' || path || ']'
  ELSE '$.' || path
END;

-- The element at a path in a well-formed document, NULL where there is none.
CREATE OR REPLACE FUNCTION sqlite.json_find(document text, path text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  rest text;
  mark integer;
  element text;
  size bigint;
  step text;
  label text;
  quoted text;
  place bigint;
BEGIN
  IF document IS NULL OR path IS NULL THEN
    RETURN NULL;
  END IF;
  rest := sqlite.json_steps(path);
  mark := sqlite.json_mark(document || path);
  element := btrim(sqlite.json_masked(document, mark), E' \t\n\r');
  WHILE rest <> '' LOOP
    size := CASE WHEN rest LIKE '[#%' AND element LIKE '[%' THEN json_array_length(element::json) END;
    step := sqlite.json_step(left(element, 1), rest, size);
    IF step LIKE '.%' THEN
      label := sqlite.json_step_label(step);
      label := sqlite.json_masked(label, mark);
      quoted := '"' || label || '"';
      IF octet_length(element) - octet_length(replace(element, quoted, '')) <= octet_length(quoted) THEN
        element := element::json -> label;  -- it stands there once at most
      ELSE
        element := (SELECT member.value FROM json_each(element::json) AS member WHERE member.key = label LIMIT 1);
      END IF;
    ELSE
      place := sqlite.json_step_place(step, size);
      element := CASE WHEN place < 2147483648 THEN element::json -> place::integer END;
    END IF;
    IF element IS NULL THEN
      RETURN NULL;
    END IF;
    rest := substr(rest, length(step) + 1);
  END LOOP;
  RETURN sqlite.json_unmasked(element, mark);
END
$$;

-- json_extract(X, P), and of X ->> P with sqlite.json_path(P).
CREATE OR REPLACE FUNCTION sqlite.json_extract(document text, path text) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sqlite.json_value(sqlite.json_find(sqlite.json_checked(document), path));

-- X -> P with sqlite.json_path(P).
CREATE OR REPLACE FUNCTION sqlite.json_extract_item(document text, path text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sqlite.json_minified(sqlite.json_find(sqlite.json_checked(document), path));

-- json_extract(X, P1, P2, ...): an array, with null for what there is not.
CREATE OR REPLACE FUNCTION sqlite.json_extract_array(document text, VARIADIC paths text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  checked text := sqlite.json_checked(document);
  items text[] := '{}';
BEGIN
  FOR number IN 1 .. cardinality(paths) LOOP
    items[number] := sqlite.json_minified(sqlite.json_find(checked, paths[number]));
  END LOOP;
  RETURN CASE WHEN checked IS NOT NULL THEN sqlite.json_array(VARIADIC items) END;
END
$$;

-- json_type(X, P); of the whole document with '$'.
CREATE OR REPLACE FUNCTION sqlite.json_type(document text, path text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  element text := sqlite.json_find(sqlite.json_checked(document), path);
BEGIN
  RETURN sqlite.json_kind(element);
END
$$;

-- json_array_length(X, P), 0 of anything but an array; of the whole document with '$'.
CREATE OR REPLACE FUNCTION sqlite.json_array_length(document text, path text) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  element text := sqlite.json_find(sqlite.json_checked(document), path);
BEGIN
  RETURN CASE WHEN element LIKE '[%' THEN json_array_length(element::json) WHEN element IS NOT NULL THEN 0 END;
END
$$;

-- Changes -----------------------------------------------------------------------------------------------------------
--
-- A document's tokens: brackets, labels with their colon, strings, numbers and words; a comma belongs to the one before
-- it. Beside them, where each ends: an array or object with its closing bracket, everything else with itself. What
-- json.c notes in its nodes is noted by token: `fates`, which value takes its place, -1 for none (JNODE_REPLACE,
-- JNODE_REMOVE), and `more`, a container of one appended value that goes on where this one ends (JNODE_APPEND).

-- Of a document without space; it has no control character, so one can stand before each token.
CREATE OR REPLACE FUNCTION sqlite.json_tokens(document text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN string_to_array(
  substr(regexp_replace(document, '"(?:[^"\\]|\\.)*":?,?|[^]["{},]+,?|[[{]|[]}],?', E'\x01\\&', 'g'), 2), E'\x01'
);

CREATE OR REPLACE FUNCTION sqlite.json_ends(tokens text[]) RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  ends integer[] := array_fill(0, ARRAY[cardinality(tokens)]);
  opened integer[] := '{}';
  depth integer := 0;
  first text;
BEGIN
  FOR token IN 1 .. cardinality(tokens) LOOP
    ends[token] := token;
    first := left(tokens[token], 1);
    IF first = '[' OR first = '{' THEN
      depth := depth + 1;
      opened[depth] := token;
    ELSIF first = ']' OR first = '}' THEN
      ends[opened[depth]] := token;
      depth := depth - 1;
    END IF;
  END LOOP;
  RETURN ends;
END
$$;

-- The token at a path, or 0 (jsonLookupStep). Then, if it can be appended, to which container, and how long the path is
-- from there.
CREATE OR REPLACE FUNCTION sqlite.json_lookup(tokens text[], ends integer[], fates integer[], more integer[], path text)
RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  rest text := sqlite.json_steps(path);
  step text;
  label text;
  place integer := 1;
  part integer;
  child integer;
  size bigint;
BEGIN
  WHILE rest <> '' LOOP
    IF fates[place] > 0 THEN
      RETURN '{0,0,0}';
    END IF;
    size := 0;
    IF rest LIKE '[#%' AND tokens[place] = '[' THEN
      part := place;
      WHILE part IS NOT NULL LOOP
        child := part + 1;
        WHILE child < ends[part] LOOP
          size := size + CASE WHEN fates[child] < 0 THEN 0 ELSE 1 END;
          child := ends[child] + 1;
        END LOOP;
        part := more[part];
      END LOOP;
    END IF;
    step := sqlite.json_step(tokens[place], rest, size);
    IF step IS NULL THEN
      RETURN '{0,0,0}';
    ELSIF step LIKE '.%' THEN
      size := 0;
      label := '"' || sqlite.json_step_label(step) || '":';
      LOOP
        child := place + 1;
        WHILE child < ends[place] AND tokens[child] <> label LOOP
          child := ends[child + 1] + 1;
        END LOOP;
        EXIT WHEN child < ends[place] OR more[place] IS NULL;
        place := more[place];
      END LOOP;
      child := child + 1;
    ELSE
      size := sqlite.json_step_place(step, size);
      LOOP
        child := place + 1;
        WHILE child < ends[place] AND (size > 0 OR fates[child] < 0) LOOP
          size := size - CASE WHEN fates[child] < 0 THEN 0 ELSE 1 END;
          child := ends[child] + 1;
        END LOOP;
        -- Also where it is found: SQLite 3.40 takes what was appended last instead.
        EXIT WHEN more[place] IS NULL;
        place := more[place];
      END LOOP;
    END IF;
    IF child >= ends[place] THEN
      RETURN ARRAY[0, CASE WHEN size = 0 THEN place ELSE 0 END, length(rest)];
    END IF;
    place := child;
    rest := substr(rest, length(step) + 1);
  END LOOP;
  RETURN ARRAY[place, 0, 0];
END
$$;

-- json_remove(X, P, ...)
CREATE OR REPLACE FUNCTION sqlite.json_remove(document text, VARIADIC paths text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  tokens text[] := sqlite.json_tokens(sqlite.json(document));
  ends integer[] := sqlite.json_ends(tokens);
  fates integer[] := '{}';
  found integer;
  start integer;
BEGIN
  IF document IS NULL THEN
    RETURN NULL;
  END IF;
  FOR number IN 1 .. cardinality(paths) LOOP
    IF paths[number] IS NULL THEN
      RETURN NULL;
    END IF;
    found := (sqlite.json_lookup(tokens, ends, fates, '{}', paths[number]))[1];
    IF found > 0 THEN
      fates[found] := -1;
    END IF;
  END LOOP;
  IF fates[1] < 0 THEN
    RETURN NULL;
  END IF;
  FOR place IN REVERSE cardinality(tokens) .. 2 LOOP
    CONTINUE WHEN fates[place] IS NULL;
    start := CASE WHEN tokens[place - 1] LIKE '%:' THEN place - 1 ELSE place END;
    IF tokens[ends[place]] NOT LIKE '%,' THEN
      tokens[start - 1] := rtrim(tokens[start - 1], ',');
    END IF;
    FOR token IN start .. ends[place] LOOP
      tokens[token] := NULL;
    END LOOP;
  END LOOP;
  RETURN array_to_string(tokens, '');
END
$$;

-- json_set(X, P, V, ...), json_insert() and json_replace(), by `mode` 'set', 'insert' and 'replace' (jsonSetFunc,
-- jsonReplaceFunc). A value that takes the place of the whole document is the result as it is.
CREATE OR REPLACE FUNCTION sqlite.json_change(mode text, document text, paths text[], given bytea[], are_json boolean[])
RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  tokens text[] := sqlite.json_tokens(sqlite.json(document));
  ends integer[] := sqlite.json_ends(tokens);
  fates integer[] := '{}';
  more integer[] := '{}';
  holders integer[] := '{}';  -- of what is appended, the container that goes on with it
  size integer := cardinality(tokens);
  found integer[];
  holder integer;
  rest text;
  steps text[];
  opening text;
  part text[];
  start integer;
  item text;
  written text;
BEGIN
  IF document IS NULL THEN
    RETURN NULL;
  END IF;
  <<changes>>
  FOR number IN 1 .. cardinality(paths) LOOP
    CONTINUE WHEN paths[number] IS NULL;
    found := sqlite.json_lookup(tokens, ends, fates, more, paths[number]);
    IF found[1] > 0 THEN
      IF mode <> 'insert' THEN
        fates[found[1]] := number;
      END IF;
      CONTINUE;
    ELSIF mode = 'replace' OR found[2] = 0 THEN
      CONTINUE;
    END IF;

    -- Nothing is appended unless all of the path can be made (jsonLookupAppend).
    holder := found[2];
    rest := right(paths[number], found[3]);
    steps := ARRAY[sqlite.json_step(tokens[holder], rest, size)];
    LOOP
      rest := substr(rest, length(steps[cardinality(steps)]) + 1);
      EXIT WHEN rest = '';
      CONTINUE changes WHEN rest NOT LIKE '.%' AND rest NOT LIKE '[0]%';
      steps := steps || sqlite.json_step(CASE WHEN rest LIKE '.%' THEN '{' ELSE '[' END, rest, 0);
    END LOOP;

    FOR depth IN 1 .. cardinality(steps) LOOP
      opening := CASE left(steps[depth + 1], 1) WHEN '.' THEN '{' WHEN '[' THEN '[' ELSE 'null' END;
      part := ARRAY[opening] || CASE opening WHEN '{' THEN '{"}"}'::text[] WHEN '[' THEN '{"]"}' END;
      start := cardinality(tokens) + 1;
      more[holder] := start;
      holders[start] := holder;
      IF tokens[holder] = '{' THEN
        tokens := tokens || ARRAY['{', '"' || sqlite.json_step_label(steps[depth]) || '":'] || part || '}'::text;
        ends := ends || ARRAY[start + cardinality(part) + 2, start + 1];
      ELSE
        tokens := tokens || '['::text || part || ']'::text;
        ends := ends || (start + cardinality(part) + 1);
      END IF;
      holder := cardinality(ends) + 1;
      ends := ends || (holder + cardinality(part) - 1);
      FOR token IN cardinality(ends) + 1 .. cardinality(tokens) LOOP
        ends[token] := token;
      END LOOP;
    END LOOP;
    fates[holder] := number;
  END LOOP;

  IF fates[1] > 0 THEN
    RETURN given[fates[1]];
  END IF;
  FOR place IN REVERSE cardinality(tokens) .. 2 LOOP
    IF fates[place] > 0 THEN
      item := CASE
        WHEN are_json[fates[place]] THEN coalesce(sqlite.text_of(given[fates[place]]), 'null')
        WHEN get_byte(given[fates[place]], 0) = 4 THEN E'\x01'  -- an error unless something takes its place
        ELSE sqlite.json_quote(given[fates[place]])
      END;
      item := item || CASE WHEN tokens[ends[place]] LIKE '%,' THEN ',' ELSE '' END;
      FOR token IN place .. ends[place] LOOP
        tokens[token] := NULL;
      END LOOP;
      tokens[place] := item;
    ELSIF holders[place] IS NOT NULL THEN
      holder := holders[place];
      IF tokens[place] = '{' THEN
        tokens[place + 1] := sqlite.json_quote(substr(tokens[place + 1], 2, length(tokens[place + 1]) - 3)) || ':';
      END IF;
      written := left(array_to_string(tokens[place + 1 : ends[place]], ''), -1);
      written := CASE WHEN ends[holder] > holder + 1 THEN ',' ELSE '' END || written;
      tokens[ends[holder]] := written || tokens[ends[holder]];
    END IF;
  END LOOP;
  written := array_to_string(tokens[1 : size], '');
  IF strpos(written, E'\x01') > 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'DD100', MESSAGE = 'JSON cannot hold BLOB values';
  END IF;
  RETURN sqlite.value(written);
END
$$;

-- json_patch(X, Y) (jsonMergePatch, RFC 7396) -----------------------------------------------------------------------

-- An element without the members that are null, in it and in objects that are members (jsonRemoveAllNulls).
CREATE OR REPLACE FUNCTION sqlite.json_without_nulls(element text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
  IF element NOT LIKE '{%' OR strpos(element, 'null') = 0 THEN
    RETURN element;
  END IF;
  RETURN (
    SELECT '{' || coalesce(string_agg('"' || key || '":' || sqlite.json_without_nulls(value::text), ','), '') || '}'
    FROM json_each(element::json)
    WHERE value::text <> 'null'
  );
END
$$;

-- An object after patches that are objects, one after the other; all without escapes and space. Of two members with one
-- label the first is patched. A label that stands twice in a patch adds two members, and changes one that is there only
-- once, unless all are objects; of what these add, only what the last one does is there then (JNODE_APPEND).
CREATE OR REPLACE FUNCTION sqlite.json_merged(target text, patches text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  labels text[] := ARRAY(SELECT key FROM json_each(target::json));
  elements text[] := ARRAY(SELECT value::text FROM json_each(target::json));
  settled boolean[] := '{}';
  waiting text[] := '{}';  -- patches for a member, with a comma between
  label text;
  element text;
  place integer;
  added text;
  appended text := '';
BEGIN
  FOR number IN 1 .. cardinality(patches) LOOP
    added := '';
    FOR label, element IN SELECT key, value::text FROM json_each(patches[number]::json) LOOP
      place := array_position(labels, label);
      IF place IS NULL THEN
        IF element <> 'null' THEN
          added := added || ',"' || label || '":' || sqlite.json_without_nulls(element);
        END IF;
      ELSIF settled[place] THEN
        CONTINUE;
      ELSIF element LIKE '{%' AND elements[place] LIKE '{%' THEN
        waiting[place] := concat_ws(',', waiting[place], element);
      ELSE
        settled[place] := true;
        elements[place] := CASE WHEN element <> 'null' THEN sqlite.json_without_nulls(element) END;
      END IF;
    END LOOP;
    IF added <> '' THEN
      appended := added;
    END IF;
  END LOOP;
  FOR number IN 1 .. cardinality(labels) LOOP
    CONTINUE WHEN waiting[number] IS NULL OR settled[number];
    elements[number] := sqlite.json_merged(
      elements[number], ARRAY(SELECT value::text FROM json_array_elements(('[' || waiting[number] || ']')::json)));
  END LOOP;
  FOR number IN REVERSE cardinality(labels) .. 1 LOOP
    CONTINUE WHEN elements[number] IS NULL;
    appended := ',"' || labels[number] || '":' || elements[number] || appended;
  END LOOP;
  RETURN '{' || substr(appended, 2) || '}';
END
$$;

CREATE OR REPLACE FUNCTION sqlite.json_patch(target text, patch text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  x text := sqlite.json(target);
  y text := CASE WHEN target IS NOT NULL THEN sqlite.json(patch) END;
  mark integer := sqlite.json_mark(x || y);
BEGIN
  IF y NOT LIKE '{%' THEN
    RETURN y;
  END IF;
  x := sqlite.json_masked(x, mark);
  y := sqlite.json_masked(y, mark);
  x := CASE WHEN x LIKE '{%' THEN sqlite.json_merged(x, ARRAY[y]) ELSE sqlite.json_without_nulls(y) END;
  RETURN sqlite.json_unmasked(x, mark);
END
$$;

-- Tables ----------------------------------------------------------------------------------------------------------

-- The name that a member has in `fullkey` (jsonAppendObjectPathElement), of its label as it is written.
CREATE OR REPLACE FUNCTION sqlite.json_label_step(label text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '.' || CASE WHEN label ~ '^"[a-zA-Z][a-zA-Z0-9]*"$' THEN substr(label, 2, length(label) - 2) ELSE label END;

-- How many of SQLite's nodes an element is: labels are some too.
CREATE OR REPLACE FUNCTION sqlite.json_size(element text) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN regexp_count(element, '"(?:[^"\\]|\\.)*"|[^][{}",: \t\n\r]+|[[{]');

-- The number of the node at a path.
CREATE OR REPLACE FUNCTION sqlite.json_id(document text, path text) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  tokens text[];
  found integer;
BEGIN
  IF path = '$' OR document IS NULL THEN
    RETURN 0;
  END IF;
  tokens := sqlite.json_tokens(sqlite.json(document));
  found := (sqlite.json_lookup(tokens, sqlite.json_ends(tokens), '{}', '{}', path))[1];
  RETURN (SELECT count(*) FROM unnest(tokens[1 : found - 1]) AS token WHERE left(token, 1) NOT IN (']', '}'));
END
$$;

-- The elements of an array, the members of an object with their labels, anything else itself.
CREATE OR REPLACE FUNCTION sqlite.json_children(element text) RETURNS TABLE (place bigint, label text, child text)
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  mark integer := sqlite.json_mark(element);
BEGIN
  IF element LIKE '{%' THEN
    RETURN QUERY
      SELECT ordinality - 1, '"' || sqlite.json_unmasked(key, mark) || '"', sqlite.json_unmasked(value::text, mark)
      FROM json_each(sqlite.json_masked(element, mark)::json) WITH ORDINALITY;
  ELSIF element LIKE '[%' THEN
    RETURN QUERY
      SELECT ordinality - 1, NULL::text, sqlite.json_unmasked(value::text, mark)
      FROM json_array_elements(sqlite.json_masked(element, mark)::json) WITH ORDINALITY;
  ELSE
    RETURN QUERY SELECT NULL::bigint, NULL::text, element;
  END IF;
END
$$;

-- json_each(X, P), the whole document with '$'. A query that does not use a column does not compute it.
CREATE OR REPLACE FUNCTION sqlite.json_each(document text, root text)
RETURNS TABLE (key bytea, value bytea, type text, atom bytea, id bigint, parent bigint, fullkey text, path text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    CASE WHEN c.label IS NULL THEN sqlite.value(c.place) ELSE sqlite.json_string(c.label) END,
    sqlite.json_value(c.child),
    sqlite.json_kind(c.child),
    CASE WHEN left(c.child, 1) NOT IN ('[', '{') THEN sqlite.json_value(c.child) END,
    (sqlite.json_id(document, root) + CASE WHEN c.place IS NULL THEN 0 WHEN c.label IS NULL THEN 1 ELSE 2 END
      + coalesce(sum(sqlite.json_size(c.child) + CASE WHEN c.label IS NULL THEN 0 ELSE 1 END)
        OVER (ORDER BY c.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0))::bigint,
    NULL::bigint,
    root || CASE
      WHEN c.label IS NOT NULL THEN sqlite.json_label_step(c.label)
      WHEN c.place IS NOT NULL THEN '[' || c.place || ']'
      ELSE ''
    END,
    root
  FROM sqlite.json_children(sqlite.json_find(sqlite.json_checked(document), root)) AS c;
END;

-- json_tree(X, P), the whole document with '$'.
CREATE OR REPLACE FUNCTION sqlite.json_tree(document text, root text)
RETURNS TABLE (key bytea, value bytea, type text, atom bytea, id bigint, parent bigint, fullkey text, path text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  tokens text[] := sqlite.json_tokens(sqlite.json(document));
  ends integer[] := sqlite.json_ends(tokens);
  found integer := 0;
  node bigint := -1;
  label text;
  element text;
  -- Of each container that is open: its token, its node, its name, how many elements it has had.
  depth integer := 0;
  opened integer[] := '{}';
  nodes bigint[] := '{}';
  names text[] := '{}';
  places bigint[] := '{}';
BEGIN
  IF document IS NOT NULL AND root IS NOT NULL THEN
    found := (sqlite.json_lookup(tokens, ends, '{}', '{}', root))[1];
  END IF;
  FOR token IN 1 .. coalesce(ends[found], 0) LOOP
    IF left(tokens[token], 1) IN (']', '}') THEN
      depth := depth - 1;
      CONTINUE;
    END IF;
    node := node + 1;
    IF tokens[token] LIKE '%:' THEN
      label := left(tokens[token], -1);
      CONTINUE;
    END IF;
    path := coalesce(names[depth], '$');
    fullkey := CASE
      WHEN depth = 0 THEN '$'
      WHEN label IS NOT NULL THEN path || sqlite.json_label_step(label)
      -- Of the arrays around the root SQLite 3.40 does not know where they are gone into.
      ELSE path || '[' || CASE WHEN opened[depth] < found THEN 0 ELSE places[depth] END || ']'
    END;
    IF token >= found THEN
      -- A slice copies the array, and most are no containers.
      element := CASE
        WHEN ends[token] = token THEN tokens[token] ELSE array_to_string(tokens[token : ends[token]], '')
      END;
      element := rtrim(element, ',');
      key := CASE
        WHEN label IS NOT NULL AND (token > found OR left(element, 1) IN ('[', '{')) THEN sqlite.json_string(label)
        WHEN token > found AND label IS NULL THEN sqlite.value(places[depth])
      END;
      value := sqlite.json_value(element);
      type := sqlite.json_kind(element);
      atom := CASE WHEN left(element, 1) NOT IN ('[', '{') THEN value END;
      id := node;
      parent := CASE WHEN token > found THEN nodes[depth] END;
      RETURN NEXT;
    END IF;
    IF depth > 0 THEN
      places[depth] := places[depth] + 1;
    END IF;
    IF tokens[token] IN ('[', '{') THEN
      depth := depth + 1;
      opened[depth] := token;
      nodes[depth] := node;
      names[depth] := fullkey;
      places[depth] := 0;
    END IF;
    label := NULL;
  END LOOP;
END
$$;

-- Before PostgreSQL 16 one asks whether a text is JSON by trying, in a subtransaction; no parallel worker may have one.
DO $do$
DECLARE
  function regprocedure;
BEGIN
  IF current_setting('server_version_num')::integer >= 160000 THEN
    RETURN;
  END IF;
  CREATE OR REPLACE FUNCTION sqlite.is_json(document text) RETURNS boolean
  LANGUAGE plpgsql IMMUTABLE STRICT
  AS $$
  BEGIN
    PERFORM document::json;
    RETURN true;
  EXCEPTION
    WHEN invalid_text_representation THEN
      RETURN false;
  END
  $$;
  FOR function IN
    SELECT oid FROM pg_proc WHERE pronamespace = 'sqlite'::regnamespace AND proname LIKE 'json%' AND prokind = 'f'
  LOOP
    EXECUTE format('ALTER FUNCTION %s PARALLEL UNSAFE', function);
  END LOOP;
END
$do$;
