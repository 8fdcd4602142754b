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

-- name: after --
-- Some entries of each stream that have events after a version, in order.
SELECT j.shard, j.seq, j.stream, j.version, j.tenant_id, j.type, j.data, j.meta, j.recorded_at,
       j.rest
  FROM unnest($1::text[], $2::integer[]) AS s (stream, after)
 CROSS JOIN LATERAL (
       SELECT * FROM journal_entry e
        WHERE e.stream = s.stream AND e.version + e.events > s.after + 1 AND e.version >= coalesce((
              SELECT max(f.version) FROM journal_entry f
               WHERE f.stream = s.stream AND f.version <= s.after + 1
        ), 0)
        ORDER BY e.version LIMIT $3::integer
       ) j;

-- name: letters --
-- Some dead letters of a shard, and which records they have; each is an entry of its own.
SELECT seq, data::json ->> 'topic' AS topic, (data::json ->> 'partition')::integer AS partition,
       (data::json ->> 'offset')::bigint AS record
  FROM journal_entry
 WHERE shard = $1 AND seq > $2 AND type = $3
 ORDER BY seq LIMIT $4::integer;
