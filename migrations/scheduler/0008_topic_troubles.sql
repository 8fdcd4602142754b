-- Foreign topics that KAFKA triggers listen to and that cannot be read now, and why.

-- migrate:up

CREATE TABLE topic_troubles (
    tenant_id text NOT NULL,
    topic     varchar(255) NOT NULL,
    -- -1 where the topic is not there at all.
    partition integer NOT NULL,
    code      text NOT NULL,
    message   text NOT NULL,
    since     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, topic, partition)
);

-- migrate:down

DROP TABLE topic_troubles;
