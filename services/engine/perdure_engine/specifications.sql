-- name: fill --
-- Write the specifications that this version has; those that did not change stay untouched.
INSERT INTO engine.node_specifications
       (id, tenant_id, node_type, node_subtype, specification_version, specification_data)
SELECT id, $1, node_type, node_subtype, version, data::jsonb
  FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[])
       AS one (id, node_type, node_subtype, version, data)
    ON CONFLICT (tenant_id, node_type, node_subtype, specification_version) DO UPDATE
   SET specification_data = excluded.specification_data,
       is_active = true,
       updated_at = now()
 WHERE node_specifications.specification_data <> excluded.specification_data
    OR NOT node_specifications.is_active
RETURNING node_subtype;

-- name: retire --
-- Mark the platform's own specifications that this version does not have any more.
UPDATE engine.node_specifications
   SET is_active = false, updated_at = now()
 WHERE tenant_id = $1
   AND is_system_spec
   AND is_active
   AND NOT id = ANY ($2::uuid[])
RETURNING node_subtype;
