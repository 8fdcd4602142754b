-- What `perdure verify` reads of a service's schema, which is the search path.

-- name: shards --
-- How far every shard has come.
SELECT id, epoch, next_seq, published_seq, projected_seq FROM shard ORDER BY id;

-- name: consumed --
-- How far every topic was read.
SELECT shard, topic, partition, next_offset FROM consumed;

-- name: heard --
-- How far every source was heard.
SELECT shard, topic, partition, source, seq, gap FROM heard;

-- name: sent --
-- The last number for every destination.
SELECT shard, topic, partition, seq FROM sent;

-- name: streams --
-- The whole journal, stream by stream; read with a cursor, along the index.
SELECT shard, seq, stream, version, tenant_id, type, data, meta, recorded_at, rest
  FROM journal_entry ORDER BY stream, version;

-- name: purges --
-- Whether the service purges streams at all.
SELECT to_regclass('journal_purged') IS NOT NULL;

-- name: purged --
-- How much of every shard's journal was purged.
SELECT shard, rows, before FROM journal_purged;

-- name: wake --
-- When a stream is to be woken.
SELECT at FROM wake WHERE shard = $1 AND stream = $2;
