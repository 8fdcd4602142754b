-- Payloads: large values that have left events, by tenant and hash, and the streams that name them.

-- name: put --
-- Keep payloads and who names them; one that is there is young again, so that no sweep takes it.
WITH kept AS (
    INSERT INTO {schema}.payloads AS t (tenant_id, sha256, bytes, data)
    SELECT DISTINCT ON (tenant_id, sha256) tenant_id, sha256, octet_length(data), data
      FROM unnest($1::text[], $2::text[], $4::text[]) AS p (tenant_id, sha256, data)
     ORDER BY tenant_id, sha256
    ON CONFLICT (tenant_id, sha256) DO UPDATE SET created_at = now()
)
INSERT INTO {schema}.payload_uses (stream, tenant_id, sha256)
SELECT DISTINCT stream, tenant_id, sha256
  FROM unnest($1::text[], $2::text[], $3::text[]) AS p (tenant_id, sha256, stream)
ON CONFLICT DO NOTHING;

-- name: get --
-- The JSON of payloads of a tenant.
SELECT sha256, data FROM {schema}.payloads WHERE tenant_id = $1 AND sha256 = ANY ($2::text[]);

-- name: sweep_uses --
-- Forget what streams name of which the journal has nothing any more.
DELETE FROM {schema}.payload_uses u
 WHERE (u.stream, u.tenant_id, u.sha256) IN (
       SELECT o.stream, o.tenant_id, o.sha256
         FROM {schema}.payload_uses o JOIN {schema}.payloads p USING (tenant_id, sha256)
        WHERE p.created_at < now() - $1::float8 * interval '1 second'
          AND NOT EXISTS (SELECT FROM {schema}.journal_entry j WHERE j.stream = o.stream)
        LIMIT $2);

-- name: sweep --
-- Forget payloads that nobody names.
WITH gone AS (
    DELETE FROM {schema}.payloads p
     WHERE (p.tenant_id, p.sha256) IN (
           SELECT o.tenant_id, o.sha256 FROM {schema}.payloads o
            WHERE o.created_at < now() - $1::float8 * interval '1 second'
              AND NOT EXISTS (SELECT FROM {schema}.payload_uses u
                               WHERE u.tenant_id = o.tenant_id AND u.sha256 = o.sha256)
            LIMIT $2)
    RETURNING 1
) SELECT count(*) FROM gone;
