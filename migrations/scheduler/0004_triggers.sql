-- What triggers of mails and of foreign topics need, and how filters that fail are shown.

-- migrate:up

-- How many events met the trigger's filter and could not be judged by it, and the last reason.
ALTER TABLE trigger_index ADD COLUMN filter_errors bigint NOT NULL DEFAULT 0;
ALTER TABLE trigger_index ADD COLUMN filter_error text;

-- How far a mailbox was read: mails above `last_uid` are new, as long as `uid_validity` holds.
CREATE TABLE mailboxes (
    tenant_id text NOT NULL,
    mailbox text NOT NULL,
    uid_validity bigint NOT NULL,
    last_uid bigint NOT NULL,
    -- When the last mail came that was read, by the server's clock.
    seen_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (tenant_id, mailbox)
);

-- What came with mails: executions carry a reference along, not the bytes.
CREATE TABLE attachments (
    tenant_id text NOT NULL,
    sha256 text NOT NULL,
    content_type text NOT NULL,
    filename text NOT NULL DEFAULT '',
    content bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (tenant_id, sha256)
);
CREATE INDEX attachments_created_idx ON attachments (created_at);

-- Up to when old rows of projections are gone.
CREATE TABLE expired (
    table_name text PRIMARY KEY,
    before timestamptz NOT NULL
);

-- migrate:down

DROP TABLE expired;
DROP TABLE attachments;
DROP TABLE mailboxes;
ALTER TABLE trigger_index DROP COLUMN filter_error;
ALTER TABLE trigger_index DROP COLUMN filter_errors;
