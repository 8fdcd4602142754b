-- What fences a service after its tables were restored; its schema is the search path.

-- name: places --
-- Every place that was read.
SELECT DISTINCT topic, partition FROM consumed;

-- name: add_shard --
-- Make a shard that the backup does not know.
INSERT INTO shard (id, epoch, owner) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING;

-- name: add_entry --
-- Write down which numbers are skipped.
INSERT INTO journal_entry
       (shard, seq, stream, version, tenant_id, type, data, meta, recorded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: tell --
-- Let the next number for a place follow those that were skipped.
UPDATE sent SET seq = $4 WHERE shard = $1 AND topic = $2 AND partition = $3;

-- name: raise --
-- Raise a shard's epoch and its next number.
UPDATE shard SET epoch = $2, owner = $3, next_seq = $4 WHERE id = $1;

-- name: stands --
-- How the backup has left a shard; nobody else changes it meanwhile.
SELECT epoch, next_seq FROM shard WHERE id = $1 FOR UPDATE;

-- name: sent --
-- The last number for each place that a shard has sent to.
SELECT topic, partition, seq FROM sent WHERE shard = $1;

-- name: version --
-- The last version of a stream, 0 if there is none.
SELECT coalesce(max(version + events - 1), 0) FROM journal_entry WHERE stream = $1;

-- name: newest --
-- When the newest event of a shard was recorded.
SELECT recorded_at FROM journal_entry WHERE shard = $1 ORDER BY seq DESC LIMIT 1;

-- name: marks --
-- How far every place was read.
SELECT DISTINCT topic, partition, next_offset FROM consumed ORDER BY topic, partition;

-- name: move --
-- Set right how far a place was read.
UPDATE consumed SET next_offset = $3 WHERE topic = $1 AND partition = $2;
