"""The runner: what it applies, what it takes back, what it refuses."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from perdure_common import migrate
from perdure_common.migrate import MigrationError, Status


def file(root: Path, name: str, up: str, down: str = "") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"-- migrate:up\n{up}\n\n-- migrate:down\n{down}\n")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    file(tmp_path, "shell/0001_base.sql", "CREATE TABLE base (id int);", "DROP TABLE base;")
    file(tmp_path, "shop/0001_a.sql", "CREATE TABLE a (id int);", "DROP TABLE a;")
    file(tmp_path, "shop/0002_b.sql", "CREATE TABLE b (id int);", "DROP TABLE b;")
    return tmp_path


async def tables(url: str, schema: str = "shop") -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY 1"
        found = [row["tablename"] for row in await connection.fetch(sql, schema)]
    finally:
        await connection.close()
    return [name for name in found if name != "schema_migrations"]


async def test_the_shells_files_come_first_in_every_schema(root: Path, database: str) -> None:
    assert await migrate.up(database, "shop", root) == [
        "shell/0001_base",
        "shop/0001_a",
        "shop/0002_b",
    ]
    assert await migrate.up(database, "other", root) == ["shell/0001_base"]
    assert await tables(database) == ["a", "b", "base"]
    assert await tables(database, "other") == ["base"]


async def test_only_what_is_new_is_applied(root: Path, database: str) -> None:
    await migrate.up(database, "shop", root)
    file(root, "shop/0003_c.sql", "CREATE TABLE c (id int);", "DROP TABLE c;")
    file(root, "shell/0002_more.sql", "CREATE TABLE more (id int);", "DROP TABLE more;")
    assert await migrate.up(database, "shop", root) == ["shell/0002_more", "shop/0003_c"]
    assert await migrate.up(database, "shop", root) == []


async def test_it_is_taken_back_in_the_opposite_order_of_applying(
    root: Path, database: str
) -> None:
    await migrate.up(database, "shop", root)
    file(root, "shell/0002_more.sql", "CREATE TABLE more (id int);", "DROP TABLE more;")
    await migrate.up(database, "shop", root)
    undone = await migrate.down(database, "shop", "shop/0001_a", root)
    assert undone == ["shell/0002_more", "shop/0002_b"]
    assert await tables(database) == ["a", "base"]
    assert await migrate.down(database, "shop", root=root) == ["shop/0001_a", "shell/0001_base"]
    assert await tables(database) == []


async def test_the_status_of_every_file_is_told(root: Path, database: str) -> None:
    assert {s.state for s in await migrate.status(database, "shop", root)} == {"pending"}
    await migrate.up(database, "shop", root)
    (root / "shop/0002_b.sql").unlink()
    file(root, "shop/0001_a.sql", "CREATE TABLE a (id bigint);")
    file(root, "shop/0003_c.sql", "CREATE TABLE c (id int);")
    assert await migrate.status(database, "shop", root) == [
        Status("shell/0001_base", "applied"),
        Status("shop/0001_a", "changed"),
        Status("shop/0003_c", "pending"),
        Status("shop/0002_b", "unknown"),
    ]


async def test_a_file_that_was_changed_after_it_was_applied_is_refused(
    root: Path, database: str
) -> None:
    await migrate.up(database, "shop", root)
    file(root, "shop/0002_b.sql", "CREATE TABLE b (id bigint);", "DROP TABLE b;")
    with pytest.raises(MigrationError, match="write a new migration") as error:
        await migrate.up(database, "shop", root)
    assert error.value.code == "migration_changed"
    with pytest.raises(MigrationError, match="shop/0002_b"):
        await migrate.down(database, "shop", root=root)
    assert await tables(database) == ["a", "b", "base"]


async def test_line_ends_do_not_make_a_file_another(root: Path, database: str) -> None:
    await migrate.up(database, "shop", root)
    path = root / "shop/0001_a.sql"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert await migrate.up(database, "shop", root) == []


async def test_a_new_file_before_an_applied_one_is_refused(root: Path, database: str) -> None:
    (root / "shop/0001_a.sql").unlink()
    await migrate.up(database, "shop", root)
    file(root, "shop/0001_a.sql", "CREATE TABLE a (id int);")
    with pytest.raises(MigrationError, match="higher number") as error:
        await migrate.up(database, "shop", root)
    assert error.value.code == "migration_out_of_order"


async def test_a_file_that_fails_leaves_nothing_and_says_where(root: Path, database: str) -> None:
    file(root, "shop/0002_b.sql", "CREATE TABLE b (id int); CREATE TABLE wrong (id nonsense);")
    with pytest.raises(MigrationError, match="shop/0002_b failed at character") as error:
        await migrate.up(database, "shop", root)
    assert error.value.code == "migration_failed"
    assert await tables(database) == ["a", "base"]
    file(root, "shop/0002_b.sql", "CREATE TABLE b (id int);")
    assert await migrate.up(database, "shop", root) == ["shop/0002_b"]


async def test_what_a_newer_version_applied_is_left_alone(root: Path, database: str) -> None:
    await migrate.up(database, "shop", root)
    (root / "shop/0002_b.sql").unlink()
    assert await migrate.up(database, "shop", root) == []
    with pytest.raises(MigrationError, match="shop/0002_b") as error:
        await migrate.down(database, "shop", root=root)
    assert error.value.code == "migration_missing"
    with pytest.raises(MigrationError, match="it has shell/0001_base"):
        await migrate.down(database, "shop", "shop/0009_z", root)


async def test_several_processes_may_migrate_at_once(root: Path, database: str) -> None:
    done = await asyncio.gather(*(migrate.up(database, "shop", root) for _ in range(5)))
    assert sorted(done, key=len) == [[]] * 4 + [["shell/0001_base", "shop/0001_a", "shop/0002_b"]]


async def test_both_roles_are_made_and_the_one_that_reads_cannot_write(
    root: Path, database: str
) -> None:
    await migrate.up(database, "shop", root)
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("SET ROLE shop_shell")
        await connection.execute("INSERT INTO shop.a VALUES (1)")
        await connection.execute("RESET ROLE")
        await connection.execute("SET ROLE shop_api")
        assert await connection.fetchval("SELECT count(*) FROM shop.a") == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("INSERT INTO shop.a VALUES (2)")
    finally:
        await connection.close()


async def test_a_database_that_does_not_answer_is_an_error_that_says_so(
    root: Path, unused_tcp_port: int
) -> None:
    url = f"postgresql://u:secret@127.0.0.1:{unused_tcp_port}/d"
    with pytest.raises(MigrationError, match="PERDURE_DATABASE_URL") as error:
        await migrate.up(url, "shop", root)
    assert error.value.code == "database_unreachable"
    assert "secret" not in str(error.value)


async def test_a_picture_of_no_schema_says_what_to_do(database: str) -> None:
    with pytest.raises(MigrationError, match="migrate up") as error:
        await migrate.dump(database, "shop")
    assert error.value.code == "schema_missing"


async def test_the_picture_shows_everything_that_a_migration_can_make(
    root: Path, database: str
) -> None:
    up = """
    CREATE TYPE mood AS ENUM ('glad', 'sad');
    CREATE TABLE c (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        mood mood NOT NULL DEFAULT 'glad',
        twice bigint GENERATED ALWAYS AS (number * 2) STORED,
        number bigint CHECK (number > 0)
    ) WITH (fillfactor = 60);
    CREATE INDEX c_number_idx ON c (number) WHERE number > 5;
    CREATE VIEW v AS SELECT id FROM c;
    ALTER TABLE c ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON c USING (number > 1);
    CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
    CREATE TRIGGER t BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION f();
    """
    file(root, "shop/0003_c.sql", up)
    await migrate.up(database, "shop", root)
    picture = await migrate.dump(database, "shop")
    for part in (
        "TYPE mood ENUM ('glad', 'sad')",
        "SEQUENCE c_id_seq",
        "    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL",
        "    mood mood DEFAULT 'glad'::mood NOT NULL",
        "    twice bigint GENERATED ALWAYS AS ((number * 2)) STORED",
        "    WITH (fillfactor=60)",
        "    ROW LEVEL SECURITY",
        "    CONSTRAINT c_number_check CHECK ((number > 0))",
        "    CONSTRAINT c_pkey PRIMARY KEY (id)",
        "    INDEX c_number_idx CREATE INDEX c_number_idx ON c USING btree (number)"
        " WHERE (number > 5)",
        "    TRIGGER t CREATE TRIGGER t BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION f()",
        "    POLICY own * USING ((number > 1)) WITH CHECK ()",
        "VIEW v",
        "CREATE OR REPLACE FUNCTION f()",
    ):
        assert f"{part}\n" in picture
    assert "schema_migrations" not in picture
    assert "shop." not in picture


async def test_two_schemas_made_alike_have_one_picture(root: Path, database: str) -> None:
    (root / "else").mkdir()
    for path in (root / "shop").iterdir():
        (root / "else" / path.name).write_text(path.read_text())
    await migrate.up(database, "shop", root)
    await migrate.up(database, "else", root)
    assert await migrate.dump(database, "shop") == await migrate.dump(database, "else")


async def test_the_command_line_migrates_shows_and_takes_back(root: Path, database: str) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PERDURE_DATABASE_URL": database, "PERDURE_MIGRATIONS": str(root)}
        command = [sys.executable, "-m", "perdure_common.migrate", *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    up = await asyncio.to_thread(run, "up")
    assert (up.returncode, up.stderr) == (0, "")
    assert up.stdout.splitlines()[-1] == "shop: applied shop/0002_b"
    status = await asyncio.to_thread(run, "status", "shop")
    assert status.stdout.splitlines()[0] == "shop: shell/0001_base applied"
    dump = await asyncio.to_thread(run, "dump", "shop")
    assert dump.stdout == await migrate.dump(database, "shop")
    refused = await asyncio.to_thread(run, "down")
    assert refused.returncode == 2
    assert "name the one service" in refused.stderr
    down = await asyncio.to_thread(run, "down", "shop", "--to", "shop/0001_a")
    assert down.stdout == "shop: took back shop/0002_b\n"
    wrong = await asyncio.to_thread(run, "down", "shop", "--to", "shop/0009_z")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("migration_missing: ")
