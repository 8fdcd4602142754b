-- migrate:up

-- Large values that have left events, by their hashes: written before the event that names them.
CREATE TABLE payloads (
    tenant_id   text NOT NULL,
    sha256      text NOT NULL,
    bytes       integer NOT NULL,
    data        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (tenant_id, sha256)
);

-- Which streams name a payload: it is swept when none of them has a row in the journal.
CREATE TABLE payload_uses (
    stream     text NOT NULL,
    tenant_id  text NOT NULL,
    sha256     text NOT NULL,
    PRIMARY KEY (stream, tenant_id, sha256)
);
CREATE INDEX payload_uses_payload_idx ON payload_uses (tenant_id, sha256);

-- migrate:down

DROP TABLE payload_uses;
DROP TABLE payloads;
