-- How large tables were on each day: whether one grows too fast is seen from yesterday.

-- migrate:up

CREATE TABLE table_sizes (
    table_name text,
    day        date,
    bytes      bigint NOT NULL,
    PRIMARY KEY (table_name, day)
);

-- Write down how large the tables are today, once; drop what is older than 90 days.
CREATE FUNCTION note_table_sizes(today date DEFAULT current_date) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = recovery, pg_temp
AS $$
    DELETE FROM table_sizes WHERE day < today - 90;
    WITH noted AS (
        INSERT INTO table_sizes
        SELECT relname, today, pg_total_relation_size(oid)
        FROM pg_class
        WHERE relnamespace = 'recovery'::regnamespace AND relkind IN ('r', 'p')
          AND NOT relispartition
          AND relname LIKE ANY (ARRAY['failure_%', 'recovery_%', 'dead_letters'])
        ON CONFLICT DO NOTHING
        RETURNING 1
    )
    SELECT count(*) FROM noted;
$$;
REVOKE EXECUTE ON FUNCTION note_table_sizes(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION note_table_sizes(date) TO recovery_shell;

-- migrate:down

DROP FUNCTION note_table_sizes(date);
DROP TABLE table_sizes;
