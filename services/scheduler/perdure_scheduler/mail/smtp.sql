-- name: heard --
-- Whether a trigger listens to one of these addresses.
SELECT EXISTS (
    SELECT FROM scheduler.trigger_index
     WHERE tenant_id = $1 AND trigger_subtype = 'EMAIL' AND index_key = ANY ($2)
       AND deployment_status = 'active' AND is_active
);
