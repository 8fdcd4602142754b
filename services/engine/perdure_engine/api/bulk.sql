-- What a bulk action is about. Tables are found through search_path.

-- name: matching
-- Executions that match a filter, the oldest first; null asks for any.
SELECT execution_id, status, workflow_id::text AS workflow_id,
       metadata ->> 'workflow_name' AS workflow_name, error_details ->> 'type' AS error_type
  FROM workflow_executions
 WHERE tenant_id = $1 AND status = ANY ($2::text[])
   AND ($3::text IS NULL OR workflow_id = $3::text::uuid)
   AND ($4::text IS NULL OR error_details ->> 'type' = $4)
   AND ($8::text IS NULL OR error_details ->> 'status_code' = $8 OR error_details -> 'codes' ? $8)
   AND ($5::timestamptz IS NULL OR created_at >= $5)
   AND ($6::timestamptz IS NULL OR created_at < $6)
 ORDER BY id
 LIMIT $7;
