-- name: claim --
-- Claim attempts for a runner; the tokens that come back are its own, the others are taken.
INSERT INTO engine.node_claims (token, tenant_id, execution_id, runner, lease_until)
SELECT token, tenant_id, execution_id, $4, now() + $5::float8 * interval '1 second'
  FROM unnest($1::text[], $2::text[], $3::text[]) AS task (token, tenant_id, execution_id)
    ON CONFLICT (token) DO NOTHING
RETURNING token;

-- name: renew --
-- Renew the live leases of a runner; a token that does not come back is not its own any more.
UPDATE engine.node_claims
   SET lease_until = now() + $3::float8 * interval '1 second'
 WHERE token = ANY ($1::text[])
   AND runner = $2
   AND finished_at IS NULL
   AND lease_until > now()
RETURNING token, canceled;

-- name: finish --
-- The answers to these attempts are safely in the log.
UPDATE engine.node_claims
   SET finished_at = now()
 WHERE token = ANY ($1::text[])
   AND runner = $2;

-- name: expired --
-- Attempts whose runner let the lease run out; each is handed to one asker only.
UPDATE engine.node_claims
   SET lease_until = now() + $1::float8 * interval '1 second', runner = 'lost/' || runner
 WHERE token IN (
       SELECT token
         FROM engine.node_claims
        WHERE finished_at IS NULL
          AND NOT canceled
          AND lease_until < now()
        ORDER BY lease_until
        LIMIT 100
          FOR UPDATE SKIP LOCKED)
RETURNING token, execution_id, runner;

-- name: restored --
-- Claim attempts that some runner may have run before the tables were restored from a backup.
INSERT INTO engine.node_claims (token, tenant_id, execution_id, runner, lease_until)
SELECT token, tenant_id, execution_id, $4, 'infinity'
  FROM unnest($1::text[], $2::text[], $3::text[]) AS task (token, tenant_id, execution_id)
    ON CONFLICT (token) DO NOTHING
RETURNING token;

-- name: recall --
-- Attempts that come again after a restore, and may have been run before it: they count as lost.
UPDATE engine.node_claims
   SET lease_until = now()
 WHERE token = ANY ($1::text[])
   AND runner = $2
   AND finished_at IS NULL;

-- name: forget --
-- Claims older than the tasks that the topic keeps.
DELETE FROM engine.node_claims
 WHERE claimed_at < now() - $1::float8 * interval '1 second';
