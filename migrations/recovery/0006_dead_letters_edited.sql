-- A dead letter may be mended before it is sent again; what it was stays in `raw`.

-- migrate:up

ALTER TABLE dead_letters
    ADD COLUMN edited_raw bytea,
    -- Scrubbed, for people, as `payload` is.
    ADD COLUMN edited_payload jsonb,
    ADD COLUMN edited_by text,
    ADD COLUMN edited_at timestamptz,
    ADD COLUMN edit_reason text;

-- migrate:down

ALTER TABLE dead_letters
    DROP COLUMN edited_raw,
    DROP COLUMN edited_payload,
    DROP COLUMN edited_by,
    DROP COLUMN edited_at,
    DROP COLUMN edit_reason;
