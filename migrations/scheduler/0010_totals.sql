-- How often clocks fired and what they missed, over all their versions: what serves begins anew
-- with each of them. Written a moment later than the firings, by all shards.

-- migrate:up

CREATE TABLE IF NOT EXISTS trigger_totals (
    tenant_id       text NOT NULL,
    trigger_subtype varchar(100) NOT NULL,
    fired_count     bigint NOT NULL DEFAULT 0,
    missed_count    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, trigger_subtype)
);
INSERT INTO trigger_totals (tenant_id, trigger_subtype, fired_count, missed_count)
SELECT tenant_id, trigger_subtype, sum(fired_count), sum(missed_count)
  FROM trigger_index
 WHERE trigger_subtype = 'CRON'
 GROUP BY tenant_id, trigger_subtype
HAVING sum(fired_count) + sum(missed_count) > 0
    ON CONFLICT DO NOTHING;

-- migrate:down

DROP TABLE IF EXISTS trigger_totals;
