-- What a replay asks of a service's journal and tables (replay.py, rebuild.py). Names in braces are
-- identifiers and conditions that Python puts in: the tables are any service's.

-- name: make_database --
-- Make an empty database.
CREATE DATABASE {name};

-- name: drop_database --
-- Drop it, whoever is connected.
DROP DATABASE {name} WITH (FORCE);

-- name: marks --
-- Up to which number the lazy rows of each shard are written.
SELECT id, projected_seq FROM {schema}.shard;

-- name: entries --
-- The whole journal, stream by stream.
SELECT {columns} FROM {schema}.journal_entry ORDER BY stream, version;

-- name: tables --
-- The tables of a schema, those in parts as one.
SELECT relname FROM pg_class
 WHERE relnamespace = $1::text::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
 ORDER BY relname;

-- name: dropped_before --
-- Before which instant rows of a table were dropped.
SELECT before FROM {schema}.expired WHERE table_name = $1;

-- name: rows --
-- The rows of a table with their keys, in an order that is the same everywhere.
SELECT {key} AS key, t::text AS row FROM {target} t WHERE {since} ORDER BY {key} COLLATE "C";

-- name: key --
-- The columns of a table's primary key, in order.
SELECT a.attname
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
 WHERE n.nspname = $1 AND c.relname = $2 AND i.indisprimary
 ORDER BY array_position(i.indkey, a.attnum);

-- name: stand_still --
-- Let no batch of the service write until the transaction ends.
LOCK TABLE {schema}.shard IN SHARE MODE;

-- name: make_rebuilt --
-- Make a table of this transaction like the one that is rebuilt.
CREATE TEMPORARY TABLE rebuilt (LIKE {target}) ON COMMIT DROP;

-- name: columns --
-- The columns of a table, in order.
SELECT attname FROM pg_attribute
 WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;

-- name: copied --
-- The rows of a table, to be copied.
SELECT {listed} FROM {target};

-- name: leave_out --
-- Leave out what is so old that it was dropped.
DELETE FROM rebuilt WHERE NOT ({since});

-- name: count_rebuilt --
-- How many rows the journal makes.
SELECT count(*) FROM rebuilt;

-- name: remove --
-- Remove the rows that the journal does not make.
DELETE FROM {target} t WHERE NOT EXISTS (SELECT FROM rebuilt r WHERE {same});

-- name: remove_changed --
-- Remove the rows that the journal makes in another way.
DELETE FROM {target} t USING rebuilt r WHERE {same} AND t::text <> r::text;

-- name: add --
-- Add the rows that are not there.
INSERT INTO {target} SELECT r.* FROM rebuilt r
 WHERE NOT EXISTS (SELECT FROM {target} t WHERE {same});
