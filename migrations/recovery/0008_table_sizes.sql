-- How large tables were on each day: whether one grows too fast is seen from yesterday.

-- migrate:up

CREATE TABLE table_sizes (
    table_name text,
    day        date,
    bytes      bigint NOT NULL,
    noted_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (table_name, day)
);

-- The tables that grow with the failures, as large as they are now with their indexes.
CREATE VIEW growing_tables AS
SELECT relname::text AS table_name, pg_total_relation_size(oid) AS bytes
FROM pg_class
WHERE relnamespace = 'recovery'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
  AND relname LIKE ANY (ARRAY['failure_%', 'recovery_%', 'dead_letters']);

-- Write down how large the tables are today, once; drop what is older than 90 days.
CREATE FUNCTION note_table_sizes(today date DEFAULT current_date) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = recovery, pg_temp
AS $$
    DELETE FROM table_sizes WHERE day < today - 90;
    WITH noted AS (
        INSERT INTO table_sizes (table_name, day, bytes)
        SELECT table_name, today, bytes FROM growing_tables
        ON CONFLICT DO NOTHING
        RETURNING 1
    )
    SELECT count(*) FROM noted;
$$;
REVOKE EXECUTE ON FUNCTION note_table_sizes(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION note_table_sizes(date) TO recovery_shell;

-- migrate:down

DROP FUNCTION note_table_sizes(date);
DROP VIEW growing_tables;
DROP TABLE table_sizes;
