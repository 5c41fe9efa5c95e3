-- The fence: refuses every write but the relay's, reading no table, so that no transaction sees an older answer.
CREATE FUNCTION dualdb.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'dualdb:moved: this database is not the authority; open the SQLite file with dualdb, or wait for the move to end'
        USING ERRCODE = 'DD001';
END
$$;
-- The journal begins with a mark, so that its newest row always tells the lineage.
INSERT INTO dualdb.journal (tbl, key) VALUES (0, '{}');
