"""`perdure credentials`: secrets by handle. What is in one is never printed, nor asked on a line.

They go from here straight into the database, sealed; no message and no log ever has them.
"""

import base64
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import asyncpg
import typer
from perdure_common.credentials import Listed, PostgresCredentials, Seal
from perdure_common.settings import DEFAULT_TENANT, KEY_BYTES, credentials_keys
from perdure_common.shell.ports import Unreachable

from perdure_cli import platform
from perdure_cli.credentials_key import own_key
from perdure_cli.errors import CommandError
from perdure_cli.output import AsJson, print_table, say, show, wait_for

T = TypeVar("T")

app = typer.Typer(
    help="Secrets that workflows name by a handle.", no_args_is_help=True, add_completion=False
)

Handle = Annotated[str, typer.Argument(help="The credential's name.")]


def _tenant() -> str:
    return os.environ.get("PERDURE_TENANT") or DEFAULT_TENANT


def _store() -> PostgresCredentials:
    """Return the store of the platform here, with the keys that its runner has."""
    keys = credentials_keys(os.environ) or own_key()
    return PostgresCredentials(platform.require().database_url, Seal(keys))


@app.command("set")
def set_credential(
    handle: Handle,
    fields: Annotated[
        list[str] | None,
        typer.Argument(help="What it has: token (the default), api_key, username, password, …"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a credential, or put other values in its place.

    Values are asked for one after the other and not shown; from a pipe, one line for each field.
    """
    names = fields or ["token"]
    values = {name: _asked(name) for name in names}

    async def put() -> None:
        store = _store()
        try:
            await store.set(_tenant(), handle, values)
        finally:
            await store.close()

    _reached(put)
    if as_json:
        show({"handle": handle, "fields": sorted(values)})
    else:
        say(f"credential {handle} is set: {', '.join(sorted(values))}")


def _asked(name: str) -> str:
    """Return a value from the terminal, unseen, or the next line of a pipe."""
    if sys.stdin.isatty():
        value: str = typer.prompt(name, hide_input=True)
    else:
        value = sys.stdin.readline().rstrip("\n")
    if not value:
        raise CommandError(
            f"there is no value for `{name}`; type it, or pipe one line for each field",
            exit_code=2,
            code="no_value",
        )
    return value


@app.command("list")
def list_credentials(as_json: AsJson = False) -> None:
    """List credentials: their names and fields, never their values."""

    async def listed() -> list[Listed]:
        store = _store()
        try:
            return list(await store.list(_tenant()))
        finally:
            await store.close()

    found = _reached(listed)
    if as_json:
        show(
            [
                {
                    "handle": each.handle,
                    "fields": list(each.fields),
                    "created_at": each.created_at.isoformat(),
                    "updated_at": each.updated_at.isoformat(),
                }
                for each in found
            ]
        )
        return
    rows = [
        (each.handle, ", ".join(each.fields), f"{each.updated_at:%Y-%m-%d %H:%M}") for each in found
    ]
    print_table(
        ("handle", "fields", "changed"),
        rows,
        "there are no credentials; `perdure credentials set HANDLE` makes one",
    )


@app.command("delete")
def delete_credential(handle: Handle, as_json: AsJson = False) -> None:
    """Delete a credential; nodes that name it fail from then on, and say so."""

    async def gone() -> bool:
        store = _store()
        try:
            return await store.delete(_tenant(), handle)
        finally:
            await store.close()

    if not _reached(gone):
        raise CommandError(
            f"there is no credential {handle!r}; `perdure credentials list` shows those there are",
            code="credential_not_found",
        )
    if as_json:
        show({"handle": handle, "deleted": True})
    else:
        say(f"credential {handle} is deleted")


@app.command("key")
def key(as_json: AsJson = False) -> None:
    """Make a new key for PERDURE_CREDENTIALS_KEY. It is printed once and kept nowhere.

    To change keys, put the new one before the old one, set every credential again, and take the
    old one away.
    """
    made = base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()
    if as_json:
        show({"key": made})
    else:
        print(made)


def _reached(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do some work on the store.

    Raises:
        CommandError: The database does not answer, or has no table of credentials yet.
    """
    try:
        return wait_for(work())
    except Unreachable as error:
        raise CommandError(str(error), code="database_unreachable") from error
    except asyncpg.UndefinedTableError as error:
        raise CommandError(
            "the database has no credentials yet; run `perdure migrate`", code="not_migrated"
        ) from error
