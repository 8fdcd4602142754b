-- What the catalogues say of one schema, for the picture that a test compares. The schema must
-- come first in search_path: what is visible is then printed without its name.

-- name: tables
-- Tables and views with their storage options.
SELECT c.oid, c.relname AS name, c.relkind::text AS kind,
    coalesce(array_to_string(ARRAY(SELECT o FROM unnest(c.reloptions) AS o ORDER BY o), ', '), '')
        AS options,
    c.relrowsecurity AS row_security,
    CASE WHEN c.relkind = 'p' THEN 'PARTITION BY ' || pg_get_partkeydef(c.oid)
        WHEN c.relispartition THEN 'PARTITION ' || pg_get_expr(c.relpartbound, c.oid) ELSE ''
        END AS partition,
    CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) ELSE '' END AS definition
FROM pg_class c
WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
    AND c.relname <> 'schema_migrations'
ORDER BY c.relname COLLATE "C";

-- name: columns
-- Columns in their order, with type, default and whether they may be null.
SELECT a.attrelid AS oid, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
    a.attnotnull AS not_null, a.attidentity::text AS identity, a.attgenerated::text AS generated,
    coalesce(pg_get_expr(d.adbin, d.adrelid), '') AS default_to
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
    AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;

-- name: constraints
-- Keys, checks and references; NOT NULL stands with the column.
SELECT conrelid AS oid, conname AS name, pg_get_constraintdef(oid) AS definition
FROM pg_constraint
WHERE connamespace = $1::regnamespace AND conrelid <> 0 AND contype <> 'n'
ORDER BY contype, conname COLLATE "C";

-- name: indexes
-- Indexes that no constraint has made.
SELECT i.indrelid AS oid, c.relname AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = $1::regnamespace
    AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid
        AND k.contype IN ('p', 'u', 'x'))
ORDER BY c.relname COLLATE "C";

-- name: triggers
-- Triggers that somebody wrote.
SELECT t.tgrelid AS oid, t.tgname AS name, pg_get_triggerdef(t.oid) AS definition
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = $1::regnamespace AND NOT t.tgisinternal
ORDER BY t.tgname COLLATE "C";

-- name: policies
-- Policies of row level security.
SELECT p.polrelid AS oid, p.polname AS name, p.polcmd::text || ' USING ('
    || coalesce(pg_get_expr(p.polqual, p.polrelid), '') || ') WITH CHECK ('
    || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '') || ')' AS definition
FROM pg_policy p
JOIN pg_class c ON c.oid = p.polrelid
WHERE c.relnamespace = $1::regnamespace
ORDER BY p.polname COLLATE "C";

-- name: enums
-- Types that list their values.
SELECT t.typname AS name, string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
    AS labels
FROM pg_type t
JOIN pg_enum e ON e.enumtypid = t.oid
WHERE t.typnamespace = $1::regnamespace
GROUP BY t.typname
ORDER BY t.typname COLLATE "C";

-- name: sequences
-- Sequences that stand alone or belong to a column.
SELECT c.relname AS name
FROM pg_class c
WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'S'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid
        AND d.refobjid = to_regclass('schema_migrations'))
ORDER BY c.relname COLLATE "C";

-- name: functions
-- Functions and procedures, whole, without those of extensions.
SELECT pg_get_functiondef(p.oid) AS definition
FROM pg_proc p
WHERE p.pronamespace = $1::regnamespace AND p.prokind IN ('f', 'p')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
        AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY p.proname COLLATE "C", pg_get_function_identity_arguments(p.oid) COLLATE "C";
