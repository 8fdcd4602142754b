-- migrate:up

-- Secrets by handle: encrypted with a key that is not in the database. `key_id` names the key;
-- tenant, handle and key_id are bound to the text, so that rows cannot be swapped.
CREATE TABLE credentials (
    tenant_id   text NOT NULL,
    handle      text NOT NULL,
    fields      text[] NOT NULL,
    key_id      text NOT NULL,
    nonce       bytea NOT NULL,
    secret      bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, handle)
);


-- migrate:down

DROP TABLE credentials;
