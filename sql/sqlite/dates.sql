-- Dates and times (lang_datefunc.html), step by step as SQLite's date.c computes them.
--
-- A moment is a count of milliseconds, julian days times 86400000 (iJD there): 0 is noon of November 24, -4713.
--
-- Each function is there twice. One takes SQLite's arguments and knows the time, and is STABLE. The other is told the time
-- first, and is IMMUTABLE: told NULL it is what an index, a CHECK or a generated column needs, and like SQLite's at such a
-- place it raises an error where the current time or the time zone is asked for.
--
-- No function in LANGUAGE sql that has a CASE is STRICT: PostgreSQL would not inline it (inline_function in clauses.c).

-- Which SQLite is followed, as SQLITE_VERSION_NUMBER: later ones have more modifiers and formats, and differ in corners.
-- A session that has used the functions goes on with the number that it has met, until DISCARD PLANS.
CREATE OR REPLACE FUNCTION sqlite.version() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 3040001;

-- The current time; the same within a statement, as sqlite3StmtCurrentTime has it.
CREATE OR REPLACE FUNCTION sqlite.now() RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN floor(date_part('epoch', statement_timestamp()) * 1000)::bigint + 210866760000000;

CREATE OR REPLACE FUNCTION sqlite.current_timestamp() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS');

CREATE OR REPLACE FUNCTION sqlite.current_date() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD');

CREATE OR REPLACE FUNCTION sqlite.current_time() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_char(statement_timestamp() AT TIME ZONE 'UTC', 'HH24:MI:SS');

-- The calendar ------------------------------------------------------------------------------------------------------

-- Midnight of a day, of a year that begins in March: January and February are the months 13 and 14 of the year before.
CREATE OR REPLACE FUNCTION sqlite.midnight(year integer, month integer, day integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (2 * (36525 * (year + 4716) / 100 + 306001 * (month + 1) / 10000 + day
    -- Before year 0 the centuries are a day off, up to 3.46.
    + CASE WHEN sqlite.version() < 3047000 THEN 2 - year / 100 + year / 100 / 4
        ELSE 38 - (year + 4800) / 100 + (year + 4800) / 400 END)
  - 3049)::bigint * 43200000;

-- The moment of a date and a time of day in milliseconds (computeJD); what is not given is 2000-01-01 and midnight. NULL
-- beyond the years that SQLite has.
CREATE OR REPLACE FUNCTION sqlite.julian(year integer, month integer, day integer, ms bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(ms, 0) + CASE
  WHEN year IS NULL THEN 211813444800000
  WHEN year NOT BETWEEN -4713 AND 9999 THEN NULL
  WHEN month <= 2 THEN sqlite.midnight(year - 1, month + 12, day)
  ELSE sqlite.midnight(year, month, day)
END;

-- A time of day in milliseconds.
CREATE OR REPLACE FUNCTION sqlite.clock_ms(hour integer, minute integer, second double precision) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN hour * 3600000 + minute * 60000 + trunc(second * 1000 + 0.5)::bigint;

-- A moment's year, month and day (computeYMD).
CREATE OR REPLACE FUNCTION sqlite.calendar(moment bigint) RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  z integer := (moment + 43200000) / 86400000;
  a integer;
  b integer;
  c integer;
  e integer;
  month integer;
BEGIN
  IF sqlite.version() < 3047000 THEN
    a := (4 * z - 7468865) / 146097;
    b := z + 1525 + a - a / 4;
  ELSE
    a := (4 * z + 128179) / 146097 - 52;
    b := z + 1550 + a - (a + 100) / 4;
  END IF;
  c := (20 * b - 2442) / 7305;
  b := b - 36525 * c / 100;
  e := b * 10000 / 306001;
  month := CASE WHEN e < 14 THEN e - 1 ELSE e - 13 END;
  RETURN ARRAY[CASE WHEN month > 2 THEN c - 4716 ELSE c - 4715 END, month, b - 306001 * e / 10000];
END
$$;

-- A moment's hour, minute and second (computeHMS).
CREATE OR REPLACE FUNCTION sqlite.time_of_day(moment bigint) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  ms integer := (moment + 43200000) % 86400000;
BEGIN
  RETURN ARRAY[ms / 3600000, ms / 60000 % 60, ms % 60000 / 1000::double precision];
END
$$;

-- Days by which a date is beyond the end of its month (computeFloor).
CREATE OR REPLACE FUNCTION sqlite.days_beyond(year integer, month integer, day integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN day <= 28 THEN 0
  WHEN month = 2 THEN day - CASE WHEN year % 4 <> 0 OR year % 100 = 0 AND year % 400 <> 0 THEN 28 ELSE 29 END
  WHEN month IN (4, 6, 9, 11) THEN day / 31
  ELSE 0
END;

-- Reading -----------------------------------------------------------------------------------------------------------

-- An argument as the text that C reads. A blob ends at a NUL, and its bytes that are not ASCII become escapes, which no time
-- has either.
CREATE OR REPLACE FUNCTION sqlite.c_text(value bytea) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN get_byte(value, 0) = 3 THEN sqlite.text_of(value)
  WHEN get_byte(value, 0) = 4 THEN split_part(encode(substr(value, 2), 'escape'), '\000', 1)
  ELSE sqlite.to_text(value)
END;

-- HH:MM[:SS[.FFF]][zone] as hour, minute, second, minutes ahead of UTC, and how the zone is given: 0 not, 1 by its
-- distance, 2 as Z. NULL for anything else (parseHhMmSs, parseTimezone).
CREATE OR REPLACE FUNCTION sqlite.clock(value text) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  parts text[];
  digits integer;
  fraction double precision := 0;
  scale double precision := 1;
  zone integer := 0;
BEGIN
  -- The usual one first: a match that gives its parts takes ten times as long as one that gives none.
  IF value ~ '^(?:[01][0-9]|2[0-4]):[0-5][0-9](?::[0-5][0-9])?$' THEN
    RETURN ARRAY[left(value, 2)::integer, substr(value, 4, 2)::integer, ('0' || substr(value, 7))::integer, 0, 0];
  END IF;
  parts := regexp_match(value, '^([01][0-9]|2[0-4]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]+))?)?'
    '[ \t\n\v\f\r]*(?:([Zz])|([+-])(0[0-9]|1[0-4]):([0-5][0-9]))?[ \t\n\v\f\r]*$');
  digits := length(parts[4]);
  IF parts IS NULL THEN
    RETURN NULL;
  ELSIF digits <= 15 THEN
    fraction := parts[4]::double precision / ('1e' || digits)::double precision;
  ELSIF digits <= 300 THEN
    -- Digit by digit, because each step rounds.
    FOR place IN 1 .. digits LOOP
      fraction := fraction * 10 + ascii(substr(parts[4], place, 1)) - 48;
      scale := scale * 10;
    END LOOP;
    fraction := fraction / scale;
  ELSIF digits > 300 THEN
    RAISE program_limit_exceeded USING MESSAGE = format('a second with %s decimals is not carried over', digits);
  END IF;
  IF fraction > 0.999 AND sqlite.version() >= 3049000 THEN
    fraction := 0.999;
  END IF;
  IF parts[6] IS NOT NULL THEN
    zone := parts[7]::integer * 60 + parts[8]::integer;
    zone := CASE parts[6] WHEN '-' THEN - zone ELSE zone END;
  END IF;
  RETURN ARRAY[
    parts[1]::integer, parts[2]::integer, coalesce(parts[3]::integer, 0) + fraction, zone,
    CASE WHEN parts[5] IS NOT NULL THEN 2 WHEN parts[6] IS NOT NULL THEN 1 ELSE 0 END];
END
$$;

-- Local time --------------------------------------------------------------------------------------------------------

-- The current time, where it may be asked for (sqlite3NotPureFunc).
CREATE OR REPLACE FUNCTION sqlite.check_impure(now bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  IF now IS NULL THEN
    RAISE feature_not_supported USING MESSAGE = 'non-deterministic use of a date function; "now", "localtime" and "utc" '
      'have no place in an index, a CHECK or a generated column';
  END IF;
  RETURN now;
END
$$;

-- The application's time zone. PostgreSQL's own setting is not asked, for it says where the session is.
CREATE OR REPLACE FUNCTION sqlite.time_zone() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
  zone text := current_setting('dualdb.time_zone', true);
BEGIN
  IF coalesce(zone, '') = '' THEN
    RAISE feature_not_supported USING MESSAGE = 'local time is not known, for PostgreSQL does not see the application''s '
      'time zone; tell it, as in SET dualdb.time_zone = ''Europe/Berlin''';
  END IF;
  RETURN zone;
END
$$;

-- What has left the calendar is NULL, whatever else is done to it (datetimeError), but for local time: there SQLite goes on
-- as if it were 2000-01-01.
CREATE OR REPLACE FUNCTION sqlite.beyond_calendar(modifiers bytea[]) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
  IF EXISTS (SELECT FROM unnest(modifiers) AS m WHERE sqlite.nocase(sqlite.c_text(m)) IN ('localtime', 'utc')) THEN
    RAISE feature_not_supported USING MESSAGE = 'local time beyond the years -4713 to 9999 is not carried over';
  END IF;
  RETURN NULL;
END
$$;

-- The year, month, day, hour, minute and second in local time of a moment, whose date and time in UTC are these
-- (toLocaltime). Beyond the years of a 32-bit time_t it is the local time of a year near 2000 with the same leap day.
CREATE OR REPLACE FUNCTION sqlite.local_time(moment bigint, date integer[], clock double precision[]) RETURNS double precision[]
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  zone text := sqlite.time_zone();
  near bigint := moment;
  years integer := 0;
  here timestamp;
BEGIN
  IF moment NOT BETWEEN 210866760000000 AND 213014145600000 THEN
    years := 2000 + date[1] % 4 - date[1];
    near := sqlite.julian(
      date[1] + years, date[2], date[3], sqlite.clock_ms(clock[1]::integer, clock[2]::integer, clock[3]));
  END IF;
  here := to_timestamp(near / 1000 - 210866760000) AT TIME ZONE zone;
  RETURN ARRAY[
    date_part('year', here) - years, date_part('month', here), date_part('day', here), date_part('hour', here),
    date_part('minute', here), date_part('second', here) + moment % 1000 * 0.001::double precision];
END
$$;

-- The moment whose local time is this one (the modifier "utc"): a guess that is mended three times.
CREATE OR REPLACE FUNCTION sqlite.from_local_time(moment bigint) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  guess bigint := moment;
  here double precision[];
  difference bigint := 0;
BEGIN
  FOR attempt IN 0 .. 3 LOOP
    guess := guess - difference;
    IF guess BETWEEN 0 AND 464269060799999 THEN
      here := sqlite.local_time(guess, sqlite.calendar(guess), sqlite.time_of_day(guess));
      difference := sqlite.julian(here[1]::integer, here[2]::integer, here[3]::integer,
        sqlite.clock_ms(here[4]::integer, here[5]::integer, here[6])) - moment;
    END IF;
    IF guess NOT BETWEEN 0 AND 464269060799999 OR difference IS NULL THEN
      PERFORM sqlite.beyond_calendar(ARRAY[sqlite.value('utc')]);
    END IF;
    EXIT WHEN difference = 0;
  END LOOP;
  RETURN guess;
END
$$;

-- The machine -------------------------------------------------------------------------------------------------------

-- A time value and its modifiers (isDate) as moment, year, month, day, hour, minute, second, and 1 where fractions of a
-- second are to be shown; NULL where SQLite gives NULL. The date may be one that no calendar has, as 2024-02-30, and the hour
-- may be 24: they stay until a modifier computes with them.
CREATE OR REPLACE FUNCTION sqlite.moment(now bigint, arguments bytea[]) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  size constant integer := cardinality(arguments);
  -- What is known of the time (DateTime), NULL where it is not.
  moment bigint;
  number double precision;           -- that may yet be a julian day or seconds since 1970
  year integer; month integer; day integer;
  hour integer; minute integer; second double precision; zone integer := 0;
  beyond integer := 0;               -- days that "floor" takes off
  is_utc boolean := false;
  is_local boolean := false;
  fractions boolean := false;
  -- What the argument says.
  argument bytea := CASE WHEN size = 0 THEN sqlite.value('now') ELSE arguments[1] END;
  given text;
  kind text;
  amount double precision;           -- of a unit; a span's sign
  span integer[];
  parts text[];
  clock double precision[];
  date integer[];
  here double precision[];
  rest integer;
BEGIN
  -- 1. The time value (parseDateOrTime).
  IF argument IS NULL THEN
    RETURN NULL;
  ELSIF get_byte(argument, 0) = 1 THEN
    number := sqlite.integer_of(argument);
  ELSIF get_byte(argument, 0) = 2 THEN
    number := sqlite.real_of(argument);
  ELSE
    given := sqlite.c_text(argument);
    IF given ~ '^-?[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])' THEN
      rest := CASE left(given, 1) WHEN '-' THEN 1 ELSE 0 END;
      year := left(given, 4 + rest);
      month := substr(given, 6 + rest, 2);
      day := substr(given, 9 + rest, 2);
      beyond := sqlite.days_beyond(year, month, day);
      given := ltrim(substr(given, 11 + rest), E' \t\n\v\f\rT');
    END IF;
    clock := sqlite.clock(given);
    IF clock IS NOT NULL THEN
      hour := clock[1];
      minute := clock[2];
      second := clock[3];
      zone := clock[4];
      is_utc := clock[5] = 2 OR clock[5] = 1 AND (sqlite.version() < 3046000 OR sqlite.version() >= 3051000 AND zone = 0);
      IF year IS NOT NULL AND zone <> 0 THEN
        moment := sqlite.julian(year, month, day, sqlite.clock_ms(hour, minute, second) - zone * 60000);
        IF moment IS NULL THEN
          RETURN sqlite.beyond_calendar(arguments[2:]);
        END IF;
        year := NULL;
        hour := NULL;
        zone := 0;
        is_utc := true;
      END IF;
    ELSIF year IS NOT NULL THEN
      IF given <> '' THEN
        RETURN NULL;
      END IF;
    ELSE
      given := sqlite.nocase(given);
      IF given = 'now' OR given IN ('subsec', 'subsecond') AND sqlite.version() >= 3042000 THEN
        moment := sqlite.check_impure(now);
        fractions := given <> 'now';
        is_utc := sqlite.version() >= 3046000;
      ELSE
        number := sqlite.to_real(sqlite.whole_number_in(given));
        IF number IS NULL THEN
          RETURN NULL;
        END IF;
      END IF;
    END IF;
  END IF;
  IF number >= 0 AND number < 5373484.5 THEN
    moment := trunc(number * 86400000 + 0.5);
  END IF;

  FOR place IN 2 .. greatest(size, 1) + 1 LOOP
    -- 2. What the modifier says (parseModifier); after the last one comes the end.
    argument := arguments[place];
    given := sqlite.nocase(sqlite.c_text(argument));
    IF place > size THEN
      kind := 'end';
    ELSIF argument IS NULL THEN
      RETURN NULL;
    ELSIF given IN ('auto', 'julianday', 'unixepoch') THEN
      amount := CASE WHEN number BETWEEN -210866760000 AND 253402300800 THEN number * 1000 + 210866760000000 END;
      IF place > 2 THEN
        RETURN NULL;
      ELSIF given = 'auto' THEN
        moment := coalesce(moment, CASE WHEN number <= 253402300799 THEN trunc(amount + 0.5) END);
        number := CASE WHEN moment IS NULL THEN number END;
      ELSIF given = 'unixepoch' AND amount >= 0 AND amount < 464269060800000 THEN
        moment := trunc(amount + 0.5);
      ELSIF given = 'unixepoch' OR moment IS NULL OR number IS NULL THEN
        RETURN NULL;
      END IF;
      CONTINUE;
    ELSIF given IN ('subsec', 'subsecond') AND sqlite.version() >= 3042000 THEN
      fractions := true;
      CONTINUE;
    ELSIF given ~ '^[-+0-9]' THEN
      -- Here too the usual one first.
      IF given ~ '^[+-]?[0-9]{1,15} (?:second|minute|hour|day|month|year)s?$' THEN
        kind := rtrim(split_part(given, ' ', 2), 's');
        amount := split_part(given, ' ', 1)::bigint;
      ELSE
        parts := regexp_match(given, '^([+-]?[0-9]+\.?[0-9]*(?:e[+-]?[0-9]+)?|[+-]\.[0-9]+(?:e[+-]?[0-9]+)?)'
          '[ \t\n\v\f\r]+(second|minute|hour|day|month|year)s?$');
        kind := parts[2];
        amount := sqlite.to_real(parts[1]);
      END IF;
      IF kind IS NOT NULL THEN
        -- The limits are the 32-bit floats of aXformType.
        IF abs(amount) >= (CASE kind WHEN 'second' THEN 464269992787968 WHEN 'minute' THEN 7737900007424
            WHEN 'hour' THEN 128969998336 WHEN 'day' THEN 5373485 WHEN 'month' THEN 176546 ELSE 14713 END) THEN
          RETURN NULL;
        END IF;
      ELSE
        parts := regexp_match(given, '^[+-]([0-9]{4,5})-(0[0-9]|1[01])-([0-2][0-9]|30)(?:[ \t\n\v\f\r](.*))?$');
        kind := CASE WHEN parts IS NULL THEN 'clock' ELSE 'span' END;
        IF kind = 'span' THEN
          span := parts[1:3];
          IF sqlite.version() < 3043000 OR span[1] > 14712 THEN
            RETURN NULL;
          END IF;
        END IF;
        amount := CASE left(given, 1) WHEN '-' THEN -1 ELSE 1 END;
        given := CASE WHEN kind = 'span' THEN parts[4] ELSE substr(given, 1 + (left(given, 1) IN ('+', '-'))::integer) END;
        clock := sqlite.clock(given);
        IF clock IS NULL AND given IS NOT NULL THEN
          RETURN NULL;
        END IF;
      END IF;
    ELSIF given LIKE 'weekday %' THEN
      kind := 'weekday';
      amount := sqlite.to_real(sqlite.whole_number_in(substr(given, 9)));
      IF (amount >= 0 AND amount < 7 AND amount = trunc(amount)) IS NOT TRUE THEN
        RETURN NULL;
      END IF;
    ELSIF given IN ('start of month', 'start of year', 'start of day') THEN
      kind := 'start';
      IF moment IS NULL AND number IS NOT NULL THEN
        RETURN NULL;
      END IF;
    ELSIF given IN ('ceiling', 'floor') AND sqlite.version() >= 3046000 THEN
      kind := given;
    ELSIF given IN ('localtime', 'utc') THEN
      kind := given;
      PERFORM sqlite.check_impure(now);
      CONTINUE WHEN CASE kind WHEN 'utc' THEN is_utc ELSE is_local END;
    ELSE
      RETURN NULL;
    END IF;

    -- 3. The moment, of date and time (computeJD).
    IF moment IS NULL AND kind <> 'start' AND (hour IS NULL OR kind NOT IN ('span', 'weekday')) THEN
      IF number IS NULL THEN
        moment := sqlite.julian(year, month, day, sqlite.clock_ms(hour, minute, second) - zone * 60000);
      END IF;
      IF moment IS NULL THEN
        RETURN sqlite.beyond_calendar(arguments[place:]);
      ELSIF zone <> 0 THEN
        year := NULL;
        hour := NULL;
        zone := 0;
        is_utc := true;
        is_local := false;
      END IF;
    END IF;

    -- 4. Date and time, of the moment (computeYMD, computeHMS).
    IF kind IN ('month', 'year', 'span', 'weekday', 'start', 'localtime', 'end') THEN
      number := NULL;
      IF kind = 'end' AND size = 1 AND day > 28 AND sqlite.version() >= 3045000 THEN
        year := NULL;
      END IF;
      IF moment NOT BETWEEN 0 AND 464269060799999 AND (year IS NULL OR kind = 'end') THEN
        RETURN sqlite.beyond_calendar(arguments[place:]);
      ELSIF year IS NULL THEN
        date := CASE WHEN moment IS NULL THEN '{2000, 1, 1}' ELSE sqlite.calendar(moment) END;
        year := date[1];
        month := date[2];
        day := date[3];
      END IF;
      IF hour IS NULL AND kind <> 'start' THEN
        here := sqlite.time_of_day(moment);
        hour := here[1];
        minute := here[2];
        second := here[3];
      END IF;
    END IF;

    -- 5. What the modifier does to date and time ...
    CONTINUE WHEN kind = 'end';
    IF kind = 'start' THEN
      month := CASE given WHEN 'start of year' THEN 1 ELSE month END;
      day := CASE given WHEN 'start of day' THEN day ELSE 1 END;
      hour := 0;
      minute := 0;
      second := 0;
      zone := 0;
      moment := NULL;
      CONTINUE;
    ELSIF kind = 'localtime' THEN
      here := sqlite.local_time(moment, ARRAY[year, month, day], ARRAY[hour, minute, second]);
      year := here[1];
      month := here[2];
      day := here[3];
      hour := here[4];
      minute := here[5];
      second := here[6];
      moment := NULL;
      is_local := sqlite.version() >= 3046000;
      is_utc := is_utc AND NOT is_local;
      CONTINUE;
    ELSIF kind IN ('month', 'year', 'span') THEN
      IF kind = 'month' THEN
        month := month + trunc(amount);
      ELSIF kind = 'year' THEN
        year := year + trunc(amount);
      ELSE
        year := year + amount * span[1];
        month := month + amount * span[2];
      END IF;
      rest := CASE WHEN month > 0 THEN month - 1 ELSE month - 12 END / 12;
      year := year + rest;
      month := month - rest * 12;
      beyond := sqlite.days_beyond(year, month, day);
    ELSIF kind IN ('second', 'minute', 'hour', 'day', 'ceiling') THEN
      beyond := 0;
    END IF;
    IF kind IN ('month', 'year', 'span', 'weekday') THEN
      zone := CASE kind WHEN 'weekday' THEN 0 ELSE zone END;
      moment := sqlite.julian(year, month, day, sqlite.clock_ms(hour, minute, second) - zone * 60000);
      IF moment IS NULL THEN
        RETURN sqlite.beyond_calendar(arguments[place:]);
      END IF;
      is_utc := is_utc OR zone <> 0;
    END IF;

    -- 6. ... and to the moment.
    IF kind IN ('clock', 'span') THEN
      -- A clock that its zone has put before midnight counts from midnight on.
      rest := sqlite.clock_ms(clock[1]::integer, clock[2]::integer, clock[3]) - clock[4] * 60000;
      rest := (coalesce(rest, 0) + 86400000) % 86400000;
      moment := moment + amount * (rest + CASE kind WHEN 'span' THEN span[3] * 86400000::bigint ELSE 0 END);
    ELSIF kind = 'weekday' THEN
      rest := (moment + 129600000) / 86400000 % 7;
      moment := moment + (amount::integer - rest + CASE WHEN rest > amount THEN 7 ELSE 0 END) * 86400000::bigint;
    ELSIF kind = 'floor' THEN
      moment := moment - beyond * 86400000;
    ELSIF kind = 'utc' THEN
      moment := sqlite.from_local_time(moment);
      number := NULL;
      beyond := 0;
      fractions := false;
      is_utc := true;
      is_local := false;
    ELSIF kind <> 'ceiling' THEN
      moment := moment + trunc((amount - CASE WHEN kind IN ('month', 'year') THEN trunc(amount) ELSE 0 END) * 1000
        * CASE kind WHEN 'second' THEN 1 WHEN 'minute' THEN 60 WHEN 'hour' THEN 3600 WHEN 'day' THEN 86400
            WHEN 'month' THEN 2592000 ELSE 31536000 END
        + CASE WHEN amount < 0 THEN -0.5 ELSE 0.5 END)::bigint;
    END IF;
    year := NULL;
    hour := NULL;
    zone := 0;
  END LOOP;
  RETURN ARRAY[moment, year, month, day, hour, minute, second, fractions::integer];
END
$$;

-- Writing -----------------------------------------------------------------------------------------------------------

-- printf's %02d, %03d and %04d, in which a sign takes one of the places.
CREATE OR REPLACE FUNCTION sqlite.padded(value integer, width integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN value BETWEEN 0 AND 9999 THEN right((10000 + value)::text, width)
  WHEN value < 0 THEN '-' || lpad(abs(value)::text, greatest(width - 1, length(abs(value)::text)), '0')
  ELSE value::text
END;

-- YYYY-MM-DD
CREATE OR REPLACE FUNCTION sqlite.date_of(moment double precision[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
  RETURN CASE WHEN moment[2] < 0 THEN '-' ELSE '' END
    || to_char((abs(moment[2]) * 10000 + moment[3] * 100 + moment[4])::integer, 'FM0000"-"00"-"00');
END
$$;

-- HH:MM:SS, or HH:MM:SS.SSS
CREATE OR REPLACE FUNCTION sqlite.time_of(moment double precision[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  ms integer;
BEGIN
  IF moment[8] = 0 THEN
    RETURN to_char((moment[5] * 10000 + moment[6] * 100 + trunc(moment[7]))::integer, 'FM00":"00":"00');
  END IF;
  ms := trunc(moment[7] * 1000 + 0.5);
  RETURN to_char((moment[5] * 10000 + moment[6] * 100 + ms / 1000)::integer, 'FM00":"00":"00') || '.'
    || sqlite.padded(ms % 1000, 3);
END
$$;

-- YYYY-MM-DD HH:MM:SS, or YYYY-MM-DD HH:MM:SS.SSS
CREATE OR REPLACE FUNCTION sqlite.datetime_of(moment double precision[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
  RETURN sqlite.date_of(moment) || ' ' || sqlite.time_of(moment);
END
$$;

-- Seconds since 1970: an integer, or a float where fractions are to be shown.
CREATE OR REPLACE FUNCTION sqlite.unixepoch_of(moment double precision[]) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
  RETURN CASE moment[8]
    WHEN 0 THEN sqlite.value(sqlite.unix_seconds(moment[1]::bigint))
    ELSE sqlite.value((moment[1] - 210866760000000) / 1000)
  END;
END
$$;

-- A moment in seconds since 1970.
CREATE OR REPLACE FUNCTION sqlite.unix_seconds(moment bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN moment / 1000 - 210866760000;

-- Seconds as SS.SSS: printf's %06.3f, which up to 3.42 computes in floats of 80 bits, as round() does.
CREATE OR REPLACE FUNCTION sqlite.seconds_text(second double precision) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  seconds double precision := least(second, 59.999);
  ms double precision := seconds * 1000;
BEGIN
  ms := CASE
    WHEN abs(ms - trunc(ms) - 0.5) > 1e-6 THEN round(ms)
    WHEN sqlite.version() < 3043000 THEN round(sqlite.round(seconds, 3) * 1000)
    ELSE round(sqlite.exact(seconds) * 1000)
  END;
  RETURN sqlite.padded(ms::integer / 1000, 2) || '.' || sqlite.padded(ms::integer % 1000, 3);
END
$$;

-- A moment as a julian day: printf's %.16g.
CREATE OR REPLACE FUNCTION sqlite.julian_text(moment bigint) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  v numeric := sqlite.exact(moment / 86400000::double precision);
  exponent integer := floor(log(nullif(v, 0)));
  scaled numeric := v * ('1e' || 15 - exponent)::numeric;
  digits text := round(scaled);
BEGIN
  IF moment = 0 THEN
    RETURN '0';
  ELSIF abs(mod(scaled, 1) - 0.5) < 0.01 THEN
    -- So near to the middle between two numbers of 16 digits, each version's own roundings decide.
    IF sqlite.version() >= 3047000 THEN
      -- 18 or 19 digits in a 64-bit integer, as the nearest float and a rest that is cut off (sqlite3FpDecode).
      scaled := scaled * CASE WHEN scaled < 9223372036854774.784 THEN 1000 ELSE 100 END;
      scaled := CASE WHEN sqlite.exact(scaled::double precision) > scaled THEN ceil(scaled) ELSE floor(scaled) END;
      digits := round(scaled * CASE WHEN scaled < 1e18 THEN 0.01 ELSE 0.001 END);
    ELSIF sqlite.version() >= 3043000 THEN
      -- 18 digits, by way of floats of 80 bits.
      WHILE v < 10000000 LOOP
        v := sqlite.significant(v * 10000000000, 64);
      END LOOP;
      WHILE v < 1e17 LOOP
        v := sqlite.significant(v * 10, 64);
      END LOOP;
      digits := round(trunc(v) * CASE WHEN v < 1e18 THEN 0.01 ELSE 0.001 END);
    ELSE
      -- 16 digits, one by one, of floats of 80 bits (etGENERIC, et_getdigit).
      exponent := 0;
      IF v >= 10 THEN
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
      v := sqlite.significant(v + sqlite.exact(5e-6::double precision * 1e-10), 64);
      IF v >= 10 THEN
        v := sqlite.significant(v * sqlite.exact(0.1), 64);
        exponent := exponent + 1;
      END IF;
      digits := '';
      FOR place IN 1 .. 16 LOOP
        digits := digits || trunc(v)::integer;
        v := (v - trunc(v)) * 10;
        v := CASE WHEN v > 0 THEN sqlite.significant(v, 64) ELSE 0 END;
      END LOOP;
    END IF;
  END IF;
  exponent := exponent + length(digits) - 16;
  digits := rtrim(left(digits, 16), '0');
  IF exponent < -4 THEN
    RETURN rtrim(left(digits, 1) || '.' || substr(digits, 2), '.') || 'e-' || sqlite.padded(- exponent, 2);
  ELSIF exponent < 0 THEN
    RETURN '0.' || repeat('0', - exponent - 1) || digits;
  END IF;
  digits := rpad(digits, greatest(length(digits), exponent + 1), '0');
  RETURN rtrim(left(digits, exponent + 1) || '.' || substr(digits, exponent + 2), '.');
END
$$;

-- A format as the text that C reads: it ends at a NUL.
CREATE OR REPLACE FUNCTION sqlite.format_text(value bytea) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN get_byte(value, 0) <= 2 THEN sqlite.to_text(value)
  WHEN position('\x00'::bytea IN value) = 0 THEN sqlite.text_of(value)
  ELSE sqlite.text_of(substr(value, 1, position('\x00'::bytea IN value) - 1))
END;

-- Days since January 1 of a year, with the time of day that a moment is written with (daysAfterJan01).
CREATE OR REPLACE FUNCTION sqlite.day_of_year(moment double precision[], at bigint, year integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (at + 43200000 - sqlite.julian(year, 1, 1, sqlite.clock_ms(moment[5]::integer, moment[6]::integer, moment[7])))
  / 86400000;

-- strftime() of a moment; NULL where the format has a letter that SQLite does not know.
CREATE OR REPLACE FUNCTION sqlite.format_of(format text, moment double precision[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  pieces text[] := string_to_array(format, '%');
  size constant integer := cardinality(pieces);
  at constant bigint := moment[1];
  year constant integer := moment[2];
  hour constant integer := moment[5];
  sunday constant integer := (at + 129600000) / 86400000 % 7;     -- days since the last Sunday
  monday constant integer := (at + 43200000) / 86400000 % 7;      -- and since the last Monday
  thursday constant bigint := at + (3 - monday) * 86400000;       -- of the same week
  place integer := 2;
  letter text;
  written text := coalesce(pieces[1], '');
BEGIN
  WHILE place <= size LOOP
    letter := left(pieces[place], 1);
    IF letter = '' THEN
      -- Of %% the second one has ended an empty piece, and what follows stands for itself.
      IF place = size THEN
        RETURN NULL;
      END IF;
      written := written || '%' || pieces[place + 1];
      place := place + 2;
      CONTINUE;
    ELSIF letter IN ('e', 'F', 'I', 'k', 'l', 'p', 'P', 'R', 'T', 'u') AND sqlite.version() < 3044000
        OR letter IN ('G', 'g', 'U', 'V') AND sqlite.version() < 3046000 THEN
      RETURN NULL;
    END IF;
    written := written || CASE letter
      WHEN 'Y' THEN sqlite.padded(year, 4)
      WHEN 'm' THEN sqlite.padded(moment[3]::integer, 2)
      WHEN 'd' THEN sqlite.padded(moment[4]::integer, 2)
      WHEN 'H' THEN sqlite.padded(hour, 2)
      WHEN 'M' THEN sqlite.padded(moment[6]::integer, 2)
      WHEN 'S' THEN sqlite.padded(trunc(moment[7])::integer, 2)
      WHEN 'f' THEN sqlite.seconds_text(moment[7])
      WHEN 's' THEN CASE moment[8] WHEN 0 THEN sqlite.unix_seconds(at)::text
        ELSE round((at - 210866760000000) * 0.001, 3)::text END
      WHEN 'J' THEN sqlite.julian_text(at)
      WHEN 'j' THEN sqlite.padded(sqlite.day_of_year(moment, at, year) + 1, 3)
      WHEN 'w' THEN sunday::text
      WHEN 'W' THEN sqlite.padded((sqlite.day_of_year(moment, at, year) + 7 - monday) / 7, 2)
      WHEN 'e' THEN lpad(moment[4]::integer::text, 2)
      WHEN 'F' THEN sqlite.padded(year, 4) || to_char((moment[3] * 100 + moment[4])::integer, 'FM"-"00"-"00')
      WHEN 'I' THEN sqlite.padded((hour + 11) % 12 + 1, 2)
      WHEN 'k' THEN lpad(hour::text, 2)
      WHEN 'l' THEN lpad(((hour + 11) % 12 + 1)::text, 2)
      WHEN 'p' THEN CASE WHEN hour >= 12 THEN 'PM' ELSE 'AM' END
      WHEN 'P' THEN CASE WHEN hour >= 12 THEN 'pm' ELSE 'am' END
      WHEN 'R' THEN to_char((hour * 100 + moment[6])::integer, 'FM00":"00')
      WHEN 'T' THEN to_char((hour * 10000 + moment[6] * 100 + trunc(moment[7]))::integer, 'FM00":"00":"00')
      WHEN 'u' THEN (monday + 1)::text
      WHEN 'G' THEN sqlite.padded((sqlite.calendar(thursday))[1], 4)
      WHEN 'g' THEN sqlite.padded((sqlite.calendar(thursday))[1] % 100, 2)
      WHEN 'U' THEN sqlite.padded((sqlite.day_of_year(moment, at, year) - sunday + 7) / 7, 2)
      WHEN 'V' THEN sqlite.padded(sqlite.day_of_year(moment, thursday, (sqlite.calendar(thursday))[1]) / 7 + 1, 2)
    END || substr(pieces[place], 2);
    IF written IS NULL THEN
      RETURN NULL;
    END IF;
    place := place + 1;
  END LOOP;
  RETURN written;
END
$$;

-- What must be added to the other moment to get the one: +YYYY-MM-DD HH:MM:SS.SSS (timediffFunc).
CREATE OR REPLACE FUNCTION sqlite.difference_of(one double precision[], other double precision[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  direction constant integer := CASE WHEN one[1] >= other[1] THEN 1 ELSE -1 END;
  years integer := direction * (one[2] - other[2]);
  months integer := direction * (one[3] - other[3]);
  -- The other moment is brought to the year and month of the one, and back month by month where that was too far.
  year integer := one[2];
  month integer := one[3];
  distance bigint := CASE WHEN years = 0 AND months = 0 THEN direction * (one[1] - other[1]) END;
  date integer[];
  rest integer;
BEGIN
  IF months < 0 THEN
    years := years - 1;
    months := months + 12;
  END IF;
  LOOP
    distance := coalesce(
      distance,
      direction * (one[1] - sqlite.julian(
        year, month, other[4]::integer, sqlite.clock_ms(other[5]::integer, other[6]::integer, other[7]))));
    EXIT WHEN distance >= 0;
    distance := NULL;
    months := months - 1;
    IF months < 0 THEN
      months := 11;
      years := years - 1;
    END IF;
    month := month - direction;
    IF month NOT BETWEEN 1 AND 12 THEN
      month := month + direction * 12;
      year := year - direction;
    END IF;
  END LOOP;
  distance := distance + 148699540800000;  -- from then on a month of 31 days
  date := sqlite.calendar(distance);
  rest := (distance + 43200000) % 86400000;
  RETURN CASE direction WHEN 1 THEN '+' ELSE '-' END || sqlite.padded(years, 4)
    || to_char(months * 100 + date[3] - 1, 'FM"-"00"-"00" "')
    || to_char(rest / 3600000 * 10000 + rest / 60000 % 60 * 100 + rest % 60000 / 1000, 'FM00":"00":"00') || '.'
    || sqlite.padded(rest % 1000, 3);
END
$$;

-- The functions -----------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION sqlite.date(now bigint, arguments bytea[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sqlite.date_of(sqlite.moment(now, arguments));

CREATE OR REPLACE FUNCTION sqlite.date(VARIADIC arguments bytea[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN sqlite.date_of(sqlite.moment(sqlite.now(), arguments));

CREATE OR REPLACE FUNCTION sqlite.time(now bigint, arguments bytea[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sqlite.time_of(sqlite.moment(now, arguments));

CREATE OR REPLACE FUNCTION sqlite.time(VARIADIC arguments bytea[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN sqlite.time_of(sqlite.moment(sqlite.now(), arguments));

CREATE OR REPLACE FUNCTION sqlite.datetime(now bigint, arguments bytea[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sqlite.datetime_of(sqlite.moment(now, arguments));

CREATE OR REPLACE FUNCTION sqlite.datetime(VARIADIC arguments bytea[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN sqlite.datetime_of(sqlite.moment(sqlite.now(), arguments));

CREATE OR REPLACE FUNCTION sqlite.julianday(now bigint, arguments bytea[]) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (sqlite.moment(now, arguments))[1] / 86400000;

CREATE OR REPLACE FUNCTION sqlite.julianday(VARIADIC arguments bytea[]) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (sqlite.moment(sqlite.now(), arguments))[1] / 86400000;

-- A tagged value: an integer, or a float where "subsec" asks for one.
CREATE OR REPLACE FUNCTION sqlite.unixepoch(now bigint, arguments bytea[]) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sqlite.unixepoch_of(sqlite.moment(now, arguments));

CREATE OR REPLACE FUNCTION sqlite.unixepoch(VARIADIC arguments bytea[]) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
RETURN sqlite.unixepoch_of(sqlite.moment(sqlite.now(), arguments));

CREATE OR REPLACE FUNCTION sqlite.strftime(now bigint, arguments bytea[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sqlite.format_of(sqlite.format_text(arguments[1]), sqlite.moment(now, arguments[2:]));

CREATE OR REPLACE FUNCTION sqlite.strftime(VARIADIC arguments bytea[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN sqlite.format_of(sqlite.format_text(arguments[1]), sqlite.moment(sqlite.now(), arguments[2:]));

-- Since 3.43.
CREATE OR REPLACE FUNCTION sqlite.timediff(now bigint, one bytea, other bytea) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sqlite.difference_of(sqlite.moment(now, ARRAY[one]), sqlite.moment(now, ARRAY[other]));

CREATE OR REPLACE FUNCTION sqlite.timediff(one bytea, other bytea) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN sqlite.difference_of(sqlite.moment(sqlite.now(), ARRAY[one]), sqlite.moment(sqlite.now(), ARRAY[other]));

-- The same of a text, quicker where it is the usual one ---------------------------------------------------------------

-- Seconds since 1970 where they are whole.
CREATE OR REPLACE FUNCTION sqlite.whole_seconds_of(moment double precision[]) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
  IF moment[8] = 1 THEN
    RAISE datatype_mismatch USING MESSAGE = 'unixepoch() of "subsec" is a float; write "subsec" into the statement itself';
  END IF;
  RETURN sqlite.unix_seconds(moment[1]::bigint);
END
$$;

-- YYYY-MM-DD[( |T)HH:MM[:SS[.FFF]]], a day that the calendar has, and too early for a fraction to leave it.
CREATE OR REPLACE FUNCTION sqlite.is_usual(value text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN value ~ ('^([0-8][0-9]|9[0-8])[0-9]{2}-'
  '((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)'
  '([ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?)?$');

-- Its moment.
CREATE OR REPLACE FUNCTION sqlite.usual_moment(value text) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
  RETURN sqlite.julian(left(value, 4)::integer, substr(value, 6, 2)::integer, substr(value, 9, 2)::integer, sqlite.clock_ms(
    ('0' || substr(value, 12, 2))::integer, ('0' || substr(value, 15, 2))::integer,
    ('0' || substr(value, 18))::double precision));
END
$$;

CREATE OR REPLACE FUNCTION sqlite.date(value text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN sqlite.is_usual(value) THEN left(value, 10) ELSE sqlite.date(VARIADIC ARRAY[sqlite.value(value)]) END;

CREATE OR REPLACE FUNCTION sqlite.time(value text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN sqlite.is_usual(value) THEN overlay('00:00:00' PLACING substr(value, 12, 8) FROM 1)
  ELSE sqlite.time(VARIADIC ARRAY[sqlite.value(value)]) END;

CREATE OR REPLACE FUNCTION sqlite.datetime(value text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN sqlite.is_usual(value) THEN left(value, 10) || ' ' || overlay('00:00:00' PLACING substr(value, 12, 8) FROM 1)
  ELSE sqlite.datetime(VARIADIC ARRAY[sqlite.value(value)]) END;

CREATE OR REPLACE FUNCTION sqlite.julianday(value text) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN sqlite.is_usual(value) AND length(value) < 20 THEN sqlite.usual_moment(value) / 86400000::double precision
  ELSE sqlite.julianday(VARIADIC ARRAY[sqlite.value(value)]) END;

-- An error where later versions would give a float.
CREATE OR REPLACE FUNCTION sqlite.unixepoch(value text) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN sqlite.is_usual(value) AND length(value) < 20 THEN sqlite.unix_seconds(sqlite.usual_moment(value))
  ELSE sqlite.whole_seconds_of(sqlite.moment(sqlite.now(), ARRAY[sqlite.value(value)])) END;

CREATE OR REPLACE FUNCTION sqlite.strftime(format text, value text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
  WHEN format ~ '^([^%]|%[YmdHMS])*$' AND sqlite.is_usual(value) THEN
    replace(replace(replace(replace(replace(replace(format,
      '%Y', left(value, 4)), '%m', substr(value, 6, 2)), '%d', substr(value, 9, 2)),
      '%H', overlay('00' PLACING substr(value, 12, 2) FROM 1)), '%M', overlay('00' PLACING substr(value, 15, 2) FROM 1)),
      '%S', overlay('00' PLACING substr(value, 18, 2) FROM 1))
  ELSE sqlite.strftime(VARIADIC ARRAY[sqlite.value(format), sqlite.value(value)])
END;
