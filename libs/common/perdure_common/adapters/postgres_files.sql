-- Files: chunks of uploads, which become files of a tenant once their hash is known.

-- name: begin --
-- Begin an upload.
INSERT INTO {schema}.files (upload, tenant_id) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: append --
-- Keep a chunk; the upload is young again, so that no sweep takes it.
WITH touched AS (
    UPDATE {schema}.files SET touched_at = now() WHERE upload = $1
) INSERT INTO {schema}.file_chunks (upload, n, tenant_id, data)
SELECT $1, $2, f.tenant_id, $3 FROM {schema}.files f WHERE f.upload = $1
ON CONFLICT DO NOTHING;

-- name: known --
-- Let a file that there is already be wanted again, and forget the upload that has the same bytes.
WITH known AS (
    UPDATE {schema}.files SET touched_at = now(), unused_since = NULL
     WHERE tenant_id = $2 AND sha256 = $3 RETURNING upload
), gone AS (
    DELETE FROM {schema}.files WHERE upload = $1 AND upload NOT IN (SELECT upload FROM known)
       AND EXISTS (SELECT FROM known)
) SELECT upload FROM known;

-- name: finish --
-- Make an upload a file.
UPDATE {schema}.files SET sha256 = $3, bytes = $4, touched_at = now()
 WHERE upload = $1 AND tenant_id = $2 RETURNING upload;

-- name: discard --
-- Forget an upload.
DELETE FROM {schema}.files WHERE upload = $1 AND sha256 IS NULL;

-- name: find --
-- Where the chunks of a file are.
SELECT upload, bytes FROM {schema}.files WHERE tenant_id = $1 AND sha256 = $2;

-- name: chunk --
-- One chunk.
SELECT data FROM {schema}.file_chunks WHERE upload = $1 AND n = $2;

-- name: sweep_used --
-- What an execution refers to again is not unused.
UPDATE {schema}.files f SET unused_since = NULL
 WHERE f.unused_since IS NOT NULL
   AND EXISTS (SELECT FROM {schema}.execution_files e
                WHERE e.tenant_id = f.tenant_id AND e.file_id = f.sha256);

-- name: sweep_unused --
-- Note since when no execution refers to a file.
UPDATE {schema}.files f SET unused_since = now()
 WHERE f.sha256 IS NOT NULL AND f.unused_since IS NULL
   AND NOT EXISTS (SELECT FROM {schema}.execution_files e
                    WHERE e.tenant_id = f.tenant_id AND e.file_id = f.sha256);

-- name: sweep --
-- Forget files that nothing has referred to for long, and uploads that nobody goes on with.
WITH gone AS (
    DELETE FROM {schema}.files f
     WHERE f.upload IN (
           SELECT o.upload FROM {schema}.files o
            WHERE CASE WHEN o.sha256 IS NULL THEN o.touched_at ELSE o.unused_since END
                  < now() - $1::float8 * interval '1 second'
            LIMIT $2)
       AND CASE WHEN f.sha256 IS NULL THEN f.touched_at ELSE f.unused_since END
           < now() - $1::float8 * interval '1 second'
       AND NOT EXISTS (SELECT FROM {schema}.execution_files e
                        WHERE e.tenant_id = f.tenant_id AND e.file_id = f.sha256)
    RETURNING 1
) SELECT count(*) FROM gone;
