"""`perdure credentials`: set from a pipe, listed, deleted; what is in one is never printed."""

import asyncio
import json
import os
import stat
from pathlib import Path

import pytest
from command_line import Said, perdure
from perdure_common import migrate
from perdure_common.credentials import PostgresCredentials, Seal
from perdure_common.settings import DEFAULT_TENANT, KEY_BYTES, credentials_keys

SECRETS = ("tok-very-secret-1", "pw-very-secret-2")


async def typed(database: str, home: Path, *words: object, fed: str = "", key: str = "") -> Said:
    env = {
        "PERDURE_HOME": str(home),
        "PERDURE_DATABASE_URL": database,
        "PERDURE_KAFKA_BOOTSTRAP": "127.0.0.1:1",
        **({"PERDURE_CREDENTIALS_KEY": key} if key else {}),
    }
    said = await asyncio.to_thread(perdure, *words, env=env, fed=fed)
    assert not any(secret in said.out + said.err for secret in SECRETS)
    return said


@pytest.fixture
async def migrated(database: str) -> str:
    await migrate.up(database, "engine")
    return database


async def test_a_credential_is_set_listed_and_deleted(migrated: str, tmp_path: Path) -> None:
    words = ("credentials", "set", "shop", "username", "password")
    said = await typed(migrated, tmp_path, *words, fed=f"{SECRETS[0]}\n{SECRETS[1]}\n")
    assert (said.code, said.out.strip()) == (0, "credential shop is set: password, username")
    listed = await typed(migrated, tmp_path, "credentials", "list", "--json")
    (found,) = json.loads(listed.out)
    assert (found["handle"], found["fields"]) == ("shop", ["password", "username"])
    assert "shop" in (await typed(migrated, tmp_path, "credentials", "list")).out
    key = tmp_path / "credentials.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    seal = Seal(credentials_keys({"PERDURE_CREDENTIALS_KEY": key.read_text()}))
    store = PostgresCredentials(migrated, seal)
    fields = await store.fields_of(DEFAULT_TENANT, "shop")
    await store.close()
    assert fields == {"username": SECRETS[0], "password": SECRETS[1]}
    gone = await typed(migrated, tmp_path, "credentials", "delete", "shop", "--json")
    assert json.loads(gone.out) == {"handle": "shop", "deleted": True}
    again = await typed(migrated, tmp_path, "credentials", "delete", "shop", "--json")
    assert again.code == 1
    assert json.loads(again.out)["error"]["code"] == "credential_not_found"


async def test_what_cannot_be_set_is_told_without_the_secret(migrated: str, tmp_path: Path) -> None:
    words = ("credentials", "set", "Shop", "--json")
    wrong = await typed(migrated, tmp_path, *words, fed=f"{SECRETS[0]}\n")
    assert (wrong.code, json.loads(wrong.out)["error"]["code"]) == (2, "invalid_handle")
    empty = await typed(migrated, tmp_path, "credentials", "set", "shop", "--json")
    assert (empty.code, json.loads(empty.out)["error"]["code"]) == (2, "no_value")


async def test_a_key_of_ones_own_is_made_and_used(migrated: str, tmp_path: Path) -> None:
    key = (await typed(migrated, tmp_path, "credentials", "key")).out.strip()
    assert len(credentials_keys({"PERDURE_CREDENTIALS_KEY": key})[0]) == KEY_BYTES
    words = ("credentials", "set", "shop")
    said = await typed(migrated, tmp_path, *words, fed=f"{SECRETS[0]}\n", key=key)
    assert said.code == 0, said.err
    assert os.listdir(tmp_path) == [], "no key of the platform's own was made"
    wrong = await typed(migrated, tmp_path, *words, fed="x\n", key="short")
    assert wrong.code == 2


async def test_before_a_migration_it_says_what_to_do(database: str, tmp_path: Path) -> None:
    said = await typed(database, tmp_path, "credentials", "list", "--json")
    assert json.loads(said.out)["error"]["code"] == "not_migrated"
