-- Which rows changed, in the order of the changes; written by triggers in the transaction of the change itself.
-- Append-only and without UNIQUE: inside a trigger the conflict policy of the outer statement wins. Without
-- AUTOINCREMENT, which would make sqlite_sequence, a table that cannot be dropped again; so pruning keeps the newest
-- row. The key's values stand as they are stored in the table: no affinity touches them.
CREATE TABLE _dualdb_journal (
    seq INTEGER PRIMARY KEY,
    tbl INTEGER NOT NULL,                  -- number of the table, `_dualdb_table.id`; 0: a mark, or with k1 a table to copy anew
    token INTEGER NOT NULL DEFAULT (random()), -- tells this row from one with its number in another past
    k1, k2, k3, k4, k5, k6, k7, k8         -- the key's columns, as many as the key has
);
