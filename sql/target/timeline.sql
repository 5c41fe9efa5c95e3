-- The server's timeline: another one after each promotion of a standby and each restore to an earlier time. That of the
-- log which is written now, for the control file's lags behind a promotion until the next checkpoint. NULL while the
-- server recovers, and where whoever hosts it does not tell.
CREATE FUNCTION dualdb.timeline() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$$;
