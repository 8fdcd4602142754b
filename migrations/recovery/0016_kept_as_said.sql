-- Explanations of failed attempts are kept as long as these, and attempts that were stopped,
-- expired or withdrawn while they waited are not kept for ever. It is told in hours, for a day may
-- have 23. Explanations of failed attempts that were dropped already stay away: until they would
-- have been dropped by now, `perdure replay --check` tells of them.

-- migrate:up

UPDATE recovery_attempts SET kept_until = updated_at + interval '4320 hours'
WHERE status IN ('refused', 'expired', 'superseded')
  AND kept_until = '9999-01-01 00:00:00+00';

UPDATE recovery_explanations e SET kept_until = a.kept_until
FROM recovery_attempts a
WHERE a.id = e.recovery_attempt_id AND a.status = 'failed' AND e.kept_until < a.kept_until;

-- migrate:down

-- Rows are kept as long as they say; nothing is known of what they said before.
SELECT 1;
