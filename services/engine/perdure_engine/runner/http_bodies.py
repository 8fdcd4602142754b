"""What an HTTP request sends: JSON, a form, a text, or files as they came from another answer."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, cast

CONTENT_TYPE = "Content-Type"
BYTES = "application/octet-stream"


def body_of(
    parameters: Mapping[str, Any], headers: dict[str, str], idempotency_key: str
) -> dict[str, Any]:
    """Return what is sent, as httpx takes it; `headers` say its type where the author does not.

    Raises:
        ValueError, TypeError: Something cannot be sent.
    """
    if parameters.get("json") is not None:
        return {"json": parameters["json"]}
    if parameters.get("form") is not None:
        return _form(dict(parameters["form"]), headers, idempotency_key)
    if parameters.get("body") is not None:
        return {"content": str(parameters["body"]).encode()}
    if parameters.get("file") is not None:
        _, content, kind = _file("file", parameters["file"])
        if not any(name.lower() == CONTENT_TYPE.lower() for name in headers):
            headers[CONTENT_TYPE] = kind
        return {"content": content}
    return {}


def text_of(value: Any) -> str:
    """Return a value as it stands in a query, a form or a header."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _form(form: Mapping[Any, Any], headers: dict[str, str], key: str) -> dict[str, Any]:
    fields = {str(name): value for name, value in form.items()}
    files = {name: value for name, value in fields.items() if _is_file(value)}
    texts = {name: text_of(value) for name, value in fields.items() if name not in files}
    if not files:
        return {"data": texts}
    # The same in every attempt: who knows a request by its key may compare what it sends.
    boundary = hashlib.sha256(f"form {key}".encode()).hexdigest()[:32]
    for name in [each for each in headers if each.lower() == CONTENT_TYPE.lower()]:
        del headers[name]
    headers[CONTENT_TYPE] = f"multipart/form-data; boundary={boundary}"
    return {"data": texts, "files": {name: _file(name, value) for name, value in files.items()}}


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and "base64" in value


def _file(name: str, value: Any) -> tuple[str, bytes, str]:
    """Return a file's name, bytes and content type."""
    given = cast("dict[str, Any]", value) if isinstance(value, dict) else {"base64": value}
    text = given.get("base64")
    try:
        content = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:
        content = None
    if content is None:
        raise ValueError(
            f"`{name}` is no Base64; give {{base64, content_type}}, as answers have it"
        )
    kind = str(given.get("content_type") or BYTES)
    return str(given.get("filename") or name), content, kind
