-- How a connection to PostgreSQL proves that it leads where it should.

-- name: row
-- Which file this target serves, and how much it has heard of.
SELECT source_id, epoch FROM dualdb.control
