-- name: forget_deliveries --
-- Delete some trigger events that are older than anybody sends again. Firings of clocks stay
-- longer: a backfill asks which of them happened.
WITH old AS (
    SELECT tenant_id, source, id FROM trigger_deliveries
     WHERE received_at < $1 AND subtype <> 'CRON'
     LIMIT $2
       FOR UPDATE SKIP LOCKED
)
DELETE FROM trigger_deliveries t USING old
 WHERE t.tenant_id = old.tenant_id AND t.source = old.source AND t.id = old.id;

-- name: forget_firings --
-- Delete some firings of clocks that are older than a backfill may reach.
WITH old AS (
    SELECT tenant_id, source, id FROM trigger_deliveries
     WHERE received_at < $1 AND subtype = 'CRON'
     LIMIT $2
       FOR UPDATE SKIP LOCKED
)
DELETE FROM trigger_deliveries t USING old
 WHERE t.tenant_id = old.tenant_id AND t.source = old.source AND t.id = old.id;

-- name: forget_answers --
-- Delete some answers of executions; the tokens of their status URLs go as early.
WITH old AS (
    SELECT tenant_id, execution_id FROM trigger_answers WHERE answered_at < $1
     LIMIT $2 FOR UPDATE SKIP LOCKED
), tokens AS (
    UPDATE trigger_receipts r SET token_sha256 = NULL FROM old
     WHERE r.tenant_id = old.tenant_id AND r.execution_id = old.execution_id
)
DELETE FROM trigger_answers t USING old
 WHERE t.tenant_id = old.tenant_id AND t.execution_id = old.execution_id;

-- name: note --
-- Remember up to when trigger events and answers are gone, so that a replay does not miss them.
INSERT INTO expired (table_name, before)
    VALUES ('trigger_deliveries', $1), ('trigger_answers', $1)
    ON CONFLICT (table_name) DO UPDATE SET before = greatest(expired.before, excluded.before);

-- name: forget_attachments --
-- Delete some attachments that came long ago.
DELETE FROM attachments WHERE (tenant_id, sha256) IN (
    SELECT tenant_id, sha256 FROM attachments WHERE created_at < $1
     LIMIT $2 FOR UPDATE SKIP LOCKED
);
