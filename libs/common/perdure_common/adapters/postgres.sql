-- What the store asks PostgreSQL. Tables are found through search_path (the service's schema).

-- name: claim
-- Raises the epochs of shards and returns their rows; the locks are held to the end.
SELECT id, epoch, next_seq, published_seq, projected_seq, format FROM claim_shards($1, $2);

-- name: last_recorded
-- The instant of the newest entry of each shard's journal.
SELECT s.id AS shard, j.recorded_at
FROM unnest($1::text[]) AS s (id)
CROSS JOIN LATERAL (
    SELECT recorded_at FROM journal_entry WHERE shard = s.id ORDER BY seq DESC LIMIT 1
) j;

-- name: consumed
SELECT shard, topic, partition, next_offset FROM consumed WHERE shard = ANY ($1);

-- name: heard
SELECT shard, topic, partition, source, seq, gap FROM heard WHERE shard = ANY ($1);

-- name: sent
SELECT shard, topic, partition, seq FROM sent WHERE shard = ANY ($1);

-- name: wakes
SELECT shard, stream, at FROM wake WHERE shard = ANY ($1) ORDER BY shard, stream;

-- name: parked_streams
SELECT shard, stream, last_n FROM parked_stream WHERE shard = ANY ($1) ORDER BY shard, stream;

-- name: epochs
SELECT id, epoch FROM shard WHERE id = ANY ($1);

-- name: snapshots
-- The newest snapshot of each stream that is not above the version allowed for it.
SELECT s.stream, x.version, x.state_version, x.state
FROM unnest($1::text[], $2::integer[]) AS s (stream, version_max)
CROSS JOIN LATERAL (
    SELECT version, state_version, state FROM snapshot
    WHERE stream = s.stream AND (s.version_max < 0 OR version <= s.version_max)
    ORDER BY version DESC LIMIT 1
) x;

-- name: entries_after
-- The entries of each stream that have events after a version, in order.
SELECT j.shard, j.seq, j.stream, j.version, j.tenant_id, j.type, j.data, j.meta, j.recorded_at,
    j.rest
FROM unnest($1::text[], $2::integer[]) AS s (stream, after)
CROSS JOIN LATERAL (
    SELECT * FROM journal_entry e
    WHERE e.stream = s.stream AND e.version + e.events > s.after + 1 AND e.version >= coalesce((
        SELECT max(f.version) FROM journal_entry f
        WHERE f.stream = s.stream AND f.version <= s.after + 1
    ), 0)
    ORDER BY e.version
) j;

-- name: journal
-- The entries of a shard that have events after a number, in order, until there are enough events.
SELECT shard, seq, stream, version, tenant_id, type, data, meta, recorded_at, rest
FROM (
    SELECT *, sum(wanted) OVER (ORDER BY seq) - wanted AS before
    FROM (
        SELECT *, least(events, seq + events - 1 - $2) AS wanted FROM journal_entry
        WHERE shard = $1 AND seq + events > $2 + 1 AND seq >= coalesce((
            SELECT max(seq) FROM journal_entry WHERE shard = $1 AND seq <= $2 + 1
        ), 0)
        ORDER BY seq LIMIT $3
    ) AS page
) AS counted
WHERE before < $3 ORDER BY seq;

-- name: deliveries
SELECT d.tenant_id, d.source, d.id, d.answer
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (tenant_id, source, id)
JOIN delivery d USING (tenant_id, source, id);

-- name: forget_deliveries
-- Deletes some deliveries that are old; who deletes the same rows now is not waited for.
WITH gone AS (
    DELETE FROM delivery WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM delivery
        WHERE received_at < now() - $1::double precision * interval '1 second'
        LIMIT $2::integer FOR UPDATE SKIP LOCKED
    )) RETURNING 1
)
SELECT count(*)::integer AS count FROM gone;

-- name: parked
SELECT stream, n, raw FROM parked_message WHERE stream = $1 ORDER BY n LIMIT $2;

-- name: repeated
-- Which (stream, version)s begin an entry of the journal already.
SELECT DISTINCT j.stream
FROM unnest($1::text[], $2::integer[]) AS s (stream, version)
JOIN journal_entry j USING (stream, version)
ORDER BY j.stream;

-- name: columns
-- The columns of a table with what is needed to write them.
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
    t.typcategory = 'A' AS is_array,
    a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS required
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attgenerated = ''
ORDER BY a.attnum;
