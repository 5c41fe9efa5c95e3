-- Dates and times (lang_datefunc.html).

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
