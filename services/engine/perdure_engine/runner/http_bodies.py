"""What an HTTP request sends: JSON, a form, a text, or files, of the item or in Base64."""

import base64
import hashlib
from collections.abc import Mapping
from typing import IO, Any, cast

from perdure_engine.runner.files import BYTES, ItemFiles

CONTENT_TYPE = "Content-Type"


async def body_of(
    parameters: Mapping[str, Any],
    headers: dict[str, str],
    idempotency_key: str,
    files: ItemFiles,
    spools: list[IO[bytes]],
) -> dict[str, Any]:
    """Return what is sent, as httpx takes it; `headers` say its type where the author does not.

    What was opened for it stands in `spools`, and is to be closed.

    Raises:
        ValueError, TypeError: Something cannot be sent.
        FileFault, MissingFile, Unreachable: A file cannot be read.
    """
    if parameters.get("json") is not None:
        return {"json": parameters["json"]}
    if parameters.get("form") is not None:
        return await _form(dict(parameters["form"]), headers, idempotency_key, files, spools)
    if parameters.get("body") is not None:
        return {"content": str(parameters["body"]).encode()}
    if parameters.get("file") is not None:
        return {"content": await _content(parameters["file"], headers, files)}
    return {}


def text_of(value: Any) -> str:
    """Return a value as it stands in a query, a form or a header."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


async def _content(value: Any, headers: dict[str, str], files: ItemFiles) -> Any:
    """Return the bytes of a file, or what gives them."""
    names = {name.lower() for name in headers}
    if not _is_of_item(value):
        _, content, kind = _in_text("file", value)
    else:
        ref = files.ref(value["file"])
        content, kind = await files.read(ref), ref["mime_type"]
        headers["Content-Length"] = str(ref["size"])  # or it would be sent in parts
    if CONTENT_TYPE.lower() not in names:
        headers[CONTENT_TYPE] = kind
    return content


async def _form(
    form: Mapping[Any, Any],
    headers: dict[str, str],
    key: str,
    files: ItemFiles,
    spools: list[IO[bytes]],
) -> dict[str, Any]:
    fields = {str(name): value for name, value in form.items()}
    sent: dict[str, tuple[str, Any, str]] = {}
    for name, value in fields.items():
        if _is_of_item(value):
            ref = files.ref(value["file"])
            spools.append(await files.spooled(ref))
            sent[name] = (str(value.get("filename") or ref["file_name"]), spools[-1],
                          str(value.get("content_type") or ref["mime_type"]))  # fmt: skip
        elif isinstance(value, dict) and "base64" in value:
            sent[name] = _in_text(name, value)
    texts = {name: text_of(value) for name, value in fields.items() if name not in sent}
    if not sent:
        return {"data": texts}
    # The same in every attempt: who knows a request by its key may compare what it sends.
    boundary = hashlib.sha256(f"form {key}".encode()).hexdigest()[:32]
    for name in [each for each in headers if each.lower() == CONTENT_TYPE.lower()]:
        del headers[name]
    headers[CONTENT_TYPE] = f"multipart/form-data; boundary={boundary}"
    return {"data": texts, "files": sent}


def _is_of_item(value: Any) -> bool:
    return isinstance(value, dict) and "file" in value


def _in_text(name: str, value: Any) -> tuple[str, bytes, str]:
    """Return the name, bytes and content type of a file that stands in the data."""
    given = cast("dict[str, Any]", value) if isinstance(value, dict) else {"base64": value}
    text = given.get("base64")
    try:
        content = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:
        content = None
    if content is None:
        raise ValueError(
            f"`{name}` is no Base64; give {{file: its name}} for a file of the item, or "
            "{base64, content_type}"
        )
    kind = str(given.get("content_type") or BYTES)
    return str(given.get("filename") or name), content, kind
