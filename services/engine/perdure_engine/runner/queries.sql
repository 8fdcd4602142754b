-- name: claim --
-- Claim attempts for a runner; the tokens that come back are its own, the others are taken.
INSERT INTO engine.node_claims (token, tenant_id, execution_id, runner, lease_until)
SELECT token, tenant_id, execution_id, $4, now() + $5::float8 * interval '1 second'
  FROM unnest($1::text[], $2::text[], $3::text[]) AS task (token, tenant_id, execution_id)
    ON CONFLICT (token) DO NOTHING
RETURNING token;

-- name: mine --
-- Which of these attempts a runner has claimed, and not answered yet.
SELECT token
  FROM engine.node_claims
 WHERE token = ANY ($1::text[])
   AND runner = $2
   AND finished_at IS NULL
   AND NOT canceled
   AND lease_until > now();

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

-- name: substeps --
-- What an agent has done so far, in the order in which it began; voided answers count in what it
-- cost, and are not given again.
SELECT request, n, kind, name, token, state, result, input_tokens, output_tokens, cost_usd
  FROM engine.substeps
 WHERE agent = $1
 ORDER BY n;

-- name: begin_substep --
-- Note that a call is about to be made, if the attempt is still the runner's. An unfinished one
-- of an earlier attempt is taken over; a finished one is left alone, and no row comes back.
WITH mine AS (
    SELECT token
      FROM engine.node_claims
     WHERE token = $9
       AND runner = $10
       AND NOT canceled
       AND finished_at IS NULL
       AND lease_until > now()
)
INSERT INTO engine.substeps AS s
       (agent, request, n, kind, name, tenant_id, execution_id, node_id, token)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, mine.token
  FROM mine
    ON CONFLICT (agent, request)
    DO UPDATE SET token = excluded.token, began_at = now()
 WHERE s.state = 'begun'
RETURNING request;

-- name: finish_substep --
-- Keep a call's answer, unless another attempt has taken the call over meanwhile.
UPDATE engine.substeps
   SET state = 'finished', result = $4, input_tokens = $5, output_tokens = $6, cost_usd = $7,
       finished_at = now()
 WHERE agent = $1
   AND request = $2
   AND token = $3
   AND state = 'begun'
RETURNING request;

-- name: void_substeps --
-- Answers of a model that led nowhere: the next attempt asks again, and what they cost counts.
UPDATE engine.substeps
   SET state = 'void', request = request || '/' || $3
 WHERE agent = $1
   AND request = ANY ($2::text[])
   AND state = 'finished';

-- name: forget_substeps --
-- Sub-steps of executions that ended long ago; an open execution keeps its own however old.
DELETE FROM engine.substeps s
 USING engine.workflow_executions x
 WHERE x.execution_id = s.execution_id
   AND x.end_time < (extract(epoch FROM now()) - $1::float8) * 1000;
