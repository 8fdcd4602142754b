-- What every API reads beside the tables that it shows. Tables are found through search_path.

-- name: columns
-- The columns of a table with their types; nothing if there is no such table.
SELECT attname, format_type(atttypid, NULL) AS type
FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped;

-- name: answer
-- What became of an outsider's message.
SELECT json_build_object(
    'source', source, 'id', id, 'received_at', received_at, 'answer', answer::json
)::text
FROM delivery
WHERE tenant_id = $1 AND source = $2 AND id = $3;

-- name: ping
SELECT 1;
