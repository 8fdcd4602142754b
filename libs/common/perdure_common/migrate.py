"""Migrations: brings the schema of each service to the state that the files describe.

Files are `migrations/<service>/NNNN_slug.sql` in dbmate's format (`-- migrate:up`,
`-- migrate:down`). The files of `migrations/shell` come first in every service's schema,
because the shell's tables are the same everywhere. Each file is one transaction.

    python -m perdure_common.migrate up|status|down|dump [SERVICE]
"""

import argparse
import asyncio
import hashlib
import os
import re
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from perdure_common.adapters.postgres_picture import picture
from perdure_common.errors import Told

SHELL = "shell"
"""The folder whose files belong to every service."""

PICTURE = "schema.sql"
"""The file beside the migrations that shows what they lead to."""

_LOCK = 0x7065726475726D67
"""The advisory lock (of one database) under which migrations run: "perdurmg" in ASCII."""

_FILE = re.compile(r"^\d{4}_[a-z0-9_]+\.sql$")
_SECTIONS = re.compile(r"^-- migrate:(up|down)[ \t]*$", re.MULTILINE)
_MARKER = re.compile(r"^-- migrate:.*$", re.MULTILINE)

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    id text PRIMARY KEY,
    position integer GENERATED ALWAYS AS IDENTITY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(Told):
    """A migration cannot be read, applied or taken back.

    `code` is for programs. The text says which file, what is wrong and what to do.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Migration:
    """One file: `id` is `<folder>/<name without .sql>`; `sha256` is that of its text."""

    id: str
    up: str
    down: str
    sha256: str


@dataclass(frozen=True)
class Status:
    """A file and whether a schema has it: `state` is applied, pending, changed or unknown.

    A file is unknown when the schema has it but this version of perdure does not.
    """

    id: str
    state: str


def folder() -> Path:
    """Return where the migrations are: `PERDURE_MIGRATIONS`, or beside `libs/`.

    Raises:
        MigrationError: `migrations_missing`.
    """
    named = os.environ.get("PERDURE_MIGRATIONS")
    path = Path(named) if named else Path(__file__).parents[3] / "migrations"
    if not (path / SHELL).is_dir():
        raise MigrationError(
            "migrations_missing",
            f"{path} has no folder {SHELL!r}; set PERDURE_MIGRATIONS to the folder of migrations",
        )
    return path


def services(root: Path | None = None) -> list[str]:
    """Return the services that have migrations of their own, by name."""
    root = root or folder()
    return sorted(p.name for p in root.iterdir() if p.is_dir() and p.name != SHELL)


def read(service: str, root: Path | None = None) -> list[Migration]:
    """Return the migrations of a service's schema in order, the shell's first.

    `shell` itself has only the shell's; any other service may have none of its own.

    Raises:
        MigrationError: `migration_malformed`, `migrations_missing`.
    """
    root = root or folder()
    folders = [SHELL] if service == SHELL else [SHELL, service]
    found: list[Migration] = []
    for name in folders:
        for path in sorted((root / name).glob("*.sql")):
            if path.name != PICTURE:
                found.append(_parse(f"{name}/{path.stem}", path))
    return found


def _parse(name: str, path: Path) -> Migration:
    text = path.read_bytes().decode().replace("\r\n", "\n")
    parts = _SECTIONS.split(text)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    fault = ""
    if not _FILE.match(path.name):
        fault = "must be called NNNN_slug.sql, with four digits and small letters"
    elif len(_MARKER.findall(text)) != 2 or set(sections) != {"up", "down"}:
        fault = "must have one line `-- migrate:up` and one line `-- migrate:down`, no options"
    elif not sections["up"].strip():
        fault = "has nothing to apply below `-- migrate:up`"
    if fault:
        raise MigrationError("migration_malformed", f"{path} {fault}")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Migration(name, sections["up"], sections["down"], digest)


async def up(url: str, service: str, root: Path | None = None) -> list[str]:
    """Apply what the service's schema does not have yet; return the ids applied.

    Makes the schema and the roles `<service>_shell` and `<service>_api` when they are
    missing. May be called by several processes at once: they go one after another. What a
    newer version has applied is left alone.

    Raises:
        MigrationError: `migration_changed`, `migration_out_of_order`, `migration_failed`,
            `migration_malformed`, `roles_refused`, `database_unreachable`.
    """
    migrations = read(service, root)
    async with _locked(url, service) as connection:
        applied = await _applied(connection)
        done: list[str] = []
        for migration in _pending(migrations, applied):
            await _run(
                connection,
                migration.id,
                migration.up,
                "INSERT INTO schema_migrations (id, sha256) VALUES ($1, $2)",
                (migration.id, migration.sha256),
            )
            done.append(migration.id)
        await _grant(connection, service)
        return done


async def down(url: str, service: str, to: str = "", root: Path | None = None) -> list[str]:
    """Take back all that was applied after the migration `to`; return the ids, newest first.

    Without `to` all of them are taken back, with their data. Schema and roles stay.

    Raises:
        MigrationError: `migration_missing` when a file to take back, or `to`, is not there;
            `migration_changed`, `migration_failed`, `database_unreachable`.
    """
    known = {migration.id: migration for migration in read(service, root)}
    async with _locked(url, service) as connection:
        applied = await _applied(connection)
        if to and to not in applied:
            raise MigrationError(
                "migration_missing",
                f"schema {service} has no {to!r}; it has {', '.join(applied) or 'none'}",
            )
        ids = list(applied)
        undone: list[str] = []
        for name in reversed(ids[ids.index(to) + 1 :] if to else ids):
            if name not in known:
                raise MigrationError(
                    "migration_missing",
                    f"schema {service} has {name}, which this version of perdure does not know; "
                    "take it back with the version that applied it",
                )
            _check(known[name], applied[name])
            delete = "DELETE FROM schema_migrations WHERE id = $1"
            await _run(connection, name, known[name].down, delete, (name,))
            undone.append(name)
        return undone


async def status(url: str, service: str, root: Path | None = None) -> list[Status]:
    """Return every migration of the service's schema and whether it is applied.

    Raises:
        MigrationError: `database_unreachable`, `migration_malformed`.
    """
    migrations = read(service, root)
    async with _connected(url) as connection:
        there = await connection.fetchval("SELECT to_regclass($1)", _table(service))
        applied: dict[str, str] = {}
        if there is not None:
            await _search(connection, service)
            applied = await _applied(connection)
    found = [Status(m.id, _state(m, applied.get(m.id))) for m in migrations]
    known = {m.id for m in migrations}
    return found + [Status(name, "unknown") for name in applied if name not in known]


async def dump(url: str, service: str) -> str:
    """Return the picture of the service's schema, made from the catalogues.

    Raises:
        MigrationError: `schema_missing`, `database_unreachable`.
    """
    async with _connected(url) as connection:
        if await connection.fetchval("SELECT to_regnamespace($1)", _ident(service)) is None:
            raise MigrationError(
                "schema_missing",
                f"the database has no schema {service}; run `python -m perdure_common.migrate up`",
            )
        return await picture(connection, service)


def _state(migration: Migration, sha256: str | None) -> str:
    if sha256 is None:
        return "pending"
    return "applied" if sha256 == migration.sha256 else "changed"


def _ident(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _table(service: str) -> str:
    return f"{_ident(service)}.schema_migrations"


def _check(migration: Migration, sha256: str) -> None:
    if sha256 != migration.sha256:
        raise MigrationError(
            "migration_changed",
            f"{migration.id} was changed after it was applied; put the file back as it was, and "
            "write a new migration for the change",
        )


def _pending(migrations: Sequence[Migration], applied: dict[str, str]) -> list[Migration]:
    """Return what is to be applied, after checking that nothing applied was changed."""
    pending: list[Migration] = []
    for migration in migrations:
        if migration.id not in applied:
            pending.append(migration)
            continue
        _check(migration, applied[migration.id])
        before = [p.id for p in pending if p.id.partition("/")[0] == migration.id.partition("/")[0]]
        if before:
            raise MigrationError(
                "migration_out_of_order",
                f"{before[0]} is new but comes before {migration.id}, which is applied already; "
                "give it a higher number",
            )
    return pending


async def _applied(connection: Any) -> dict[str, str]:
    rows = await connection.fetch("SELECT id, sha256 FROM schema_migrations ORDER BY position")
    return {row["id"]: row["sha256"] for row in rows}


async def _run(connection: Any, name: str, sql: str, mark: str, arguments: tuple[str, ...]) -> None:
    try:
        async with connection.transaction():
            if sql.strip():
                await connection.execute(sql)
            await connection.execute(mark, *arguments)
    except asyncpg.PostgresError as error:
        place = f" at character {error.position}" if error.position else ""
        detail = f" ({error.detail})" if error.detail else ""
        raise MigrationError(
            "migration_failed",
            f"{name} failed{place}: {error.message}{detail}; nothing of it was kept: mend the "
            "file and run it again",
        ) from error


async def _search(connection: Any, service: str) -> None:
    """Let names mean the service's tables first; extensions live in `public`."""
    path = f"{_ident(service)}, public"
    await connection.execute("SELECT set_config('search_path', $1, false)", path)


@asynccontextmanager
async def _connected(url: str) -> AsyncGenerator[Any]:
    try:
        connection: Any = await asyncpg.connect(url, timeout=30)  # pyright: ignore
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise MigrationError(
            "database_unreachable",
            f"the database does not answer ({type(error).__name__}: {error}); is it running, and "
            "is PERDURE_DATABASE_URL right?",
        ) from error
    try:
        yield connection
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise MigrationError(
            "database_refused",
            f"the database does not let us go on ({type(error).__name__}: {error}); the user of "
            "PERDURE_DATABASE_URL must own the schema, or may create it",
        ) from error
    finally:
        await connection.close()


@asynccontextmanager
async def _locked(url: str, service: str) -> AsyncGenerator[Any]:
    """Give a connection that holds the lock, with schema, roles and table made."""
    async with _connected(url) as connection:
        await connection.execute("SET client_min_messages = warning")
        # Ends with the connection, however that ends.
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_ident(service)}")
        await _roles(connection, service)
        await _search(connection, service)
        await connection.execute(_TABLE)
        yield connection


async def _roles(connection: Any, service: str) -> None:
    """Make the two roles; they belong to the whole server, where others may make them too."""
    for role in (f"{service}_shell", f"{service}_api"):
        make = f"""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
                CREATE ROLE {_ident(role)} NOLOGIN;
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- somebody else made it in another database at the same moment
        END $$
        """
        lend = f"""
        DO $$ BEGIN
            IF NOT pg_has_role(current_user, '{role}', 'SET') THEN
                GRANT {_ident(role)} TO CURRENT_USER;
            END IF;
        END $$
        """
        try:
            # Apart: a transaction that failed to make the role may not see the other's yet.
            await connection.execute(make)
            await connection.execute(lend)
        except asyncpg.InsufficientPrivilegeError as error:
            raise MigrationError(
                "roles_refused",
                f"the user of PERDURE_DATABASE_URL may not make the role {role} ({error.message});"
                f" let it (CREATEROLE), or make it yourself: CREATE ROLE {role} NOLOGIN; "
                f"GRANT {role} TO the user",
            ) from error


async def _grant(connection: Any, service: str) -> None:
    schema, shell, api = _ident(service), _ident(f"{service}_shell"), _ident(f"{service}_api")
    async with connection.transaction():
        await connection.execute(f"""
            GRANT USAGE ON SCHEMA {schema} TO {shell}, {api};
            GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {shell};
            GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {shell};
            GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {api};
        """)


async def _main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("perdure_common.migrate", description="Migrate the database.")
    parser.add_argument("action", choices=("up", "down", "status", "dump"))
    parser.add_argument("service", nargs="?", default="", help="all of them when left out")
    parser.add_argument("--to", default="", help="down: keep this one and all before it")
    given = parser.parse_args(arguments)
    url = os.environ.get("PERDURE_DATABASE_URL", "")
    if not url:
        print("PERDURE_DATABASE_URL is not set; give the database's address", file=sys.stderr)
        return 2
    if given.action == "down" and not given.service:
        print("down deletes tables: name the one service that it is for", file=sys.stderr)
        return 2
    try:
        for service in [given.service] if given.service else services():
            for line in await _act(url, given.action, service, given.to):
                print(line)
    except MigrationError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return 1
    return 0


async def _act(url: str, action: str, service: str, to: str) -> list[str]:
    if action == "up":
        return [f"{service}: applied {name}" for name in await up(url, service)]
    if action == "down":
        return [f"{service}: took back {name}" for name in await down(url, service, to)]
    if action == "status":
        return [f"{service}: {s.id} {s.state}" for s in await status(url, service)]
    return [(await dump(url, service)).rstrip("\n")]


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(sys.argv[1:])))
