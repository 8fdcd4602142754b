"""Every migration leads to the picture beside it, and back."""

import difflib
from pathlib import Path

import asyncpg
import pytest
from perdure_common import migrate

ROOT = migrate.folder()
EVERY = [migrate.SHELL, *migrate.services(ROOT)]


@pytest.mark.parametrize("service", EVERY)
async def test_all_migrations_lead_to_the_picture(service: str, database: str) -> None:
    await migrate.up(database, service)
    path = ROOT / service / migrate.PICTURE
    there = path.read_text().splitlines(keepends=True) if path.exists() else []
    made = (await migrate.dump(database, service)).splitlines(keepends=True)
    assert made == there, (
        f"run `python -m perdure_common.migrate dump {service} > "
        f"migrations/{service}/{migrate.PICTURE}` if the change is meant:\n"
        + "".join(difflib.unified_diff(there, made, "picture", "database"))
    )


@pytest.mark.parametrize("service", EVERY)
async def test_migrating_twice_changes_nothing(service: str, database: str) -> None:
    assert await migrate.up(database, service) == [m.id for m in migrate.read(service)]
    before = await migrate.dump(database, service)
    assert await migrate.up(database, service) == []
    assert await migrate.dump(database, service) == before


@pytest.mark.parametrize("service", EVERY)
async def test_each_step_down_is_the_way_it_came(service: str, database: str) -> None:
    ids = [migration.id for migration in migrate.read(service)]
    pictures = [""]
    for applied in range(1, len(ids) + 1):
        await migrate.up(database, service)
        if applied < len(ids):
            await migrate.down(database, service, ids[applied - 1])
        pictures.append(await migrate.dump(database, service))
    for applied in range(len(ids) - 1, -1, -1):
        to = ids[applied - 1] if applied else ""
        assert await migrate.down(database, service, to) == [ids[applied]]
        assert (await migrate.dump(database, service)).strip() == pictures[applied].strip()
    await migrate.up(database, service)
    assert await migrate.dump(database, service) == pictures[-1]


@pytest.mark.parametrize("service", EVERY)
async def test_every_table_has_a_key_and_a_tenant(service: str, database: str) -> None:
    """The shell's own tables about shards and streams belong to no tenant."""
    await migrate.up(database, service)
    shell = {"shard", "consumed", "heard", "sent", "wake", "snapshot"}
    shell |= {"parked_stream", "parked_message", "schema_migrations", "expired", "journal_purged"}
    of_nobody = shell | {"table_sizes", "erasures"}
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch(
            """
            SELECT c.relname AS name,
                EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p')
                    AS has_key,
                EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid
                    AND a.attname = 'tenant_id' AND a.attnotnull) AS has_tenant
            FROM pg_class c
            WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p')
            """,
            service,
        )
    finally:
        await connection.close()
    assert len(rows) >= len(shell)
    assert [row["name"] for row in rows if not row["has_key"]] == []
    assert [r["name"] for r in rows if not r["has_tenant"] and r["name"] not in of_nobody] == []


def test_migrations_are_found_from_the_package() -> None:
    assert ROOT.name == "migrations"
    assert (ROOT / migrate.SHELL / "0001_shell.sql").is_file()
    assert Path(migrate.__file__).is_relative_to(ROOT.parent)
