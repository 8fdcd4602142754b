-- name: credential --
-- One credential of a tenant, sealed.
SELECT key_id, nonce, secret
  FROM engine.credentials
 WHERE tenant_id = $1
   AND handle = $2;

-- name: credential_locked --
-- One credential of a tenant, sealed; whoever else would renew it waits.
SELECT key_id, nonce, secret
  FROM engine.credentials
 WHERE tenant_id = $1
   AND handle = $2
   FOR UPDATE;

-- name: credentials --
-- What credentials a tenant has: never what is in them.
SELECT handle, fields, created_at, updated_at
  FROM engine.credentials
 WHERE tenant_id = $1
 ORDER BY handle;

-- name: set_credential --
-- Make a credential, or put another secret in its place.
INSERT INTO engine.credentials (tenant_id, handle, fields, key_id, nonce, secret)
VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (tenant_id, handle)
    DO UPDATE SET fields = excluded.fields, key_id = excluded.key_id, nonce = excluded.nonce,
                  secret = excluded.secret, updated_at = now();

-- name: delete_credential --
-- Take a credential away; the row tells that it was there.
DELETE FROM engine.credentials
 WHERE tenant_id = $1
   AND handle = $2
RETURNING handle;
