"""The key of credentials of the platform on this machine: made when it is first needed."""

import base64
import os
from pathlib import Path

from perdure_common.settings import KEY_BYTES, credentials_keys

from perdure_cli import platform

VARIABLE = "PERDURE_CREDENTIALS_KEY"


def key_file() -> Path:
    """Return where the key is kept: beside the data, readable by its owner only."""
    return platform.home() / "credentials.key"


def own_key() -> tuple[bytes, ...]:
    """Return the key of the platform here, making it where there is none yet."""
    return credentials_keys({VARIABLE: own_key_text()})


def own_key_text() -> str:
    """Return the key as the setting has it, making it where there is none yet."""
    path = key_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    made = base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="utf-8").strip()
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(made)
    return made
