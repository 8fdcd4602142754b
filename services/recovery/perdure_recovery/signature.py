"""When two failures are the same: the signature, and the masks that make it so.

The promise: same class, codes, text, frames, stage and kind of dependency give the same
signature, whatever ids, addresses and numbers stand in the text. To merge unlike failures
is worse than to split like ones, so the masks are few and plain. A change of anything here
needs a new version in `VERSION`, because signatures are stored.
"""

import hashlib
import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, cast

from perdure_contracts.engine import ErrorFacts

VERSION: Final = "v1"
TEXT_MAX: Final = 300
"""Longest masked text that takes part, in code points."""
MESSAGE_MAX: Final = 500
"""Longest masked text that is kept for people, in code points."""
INPUT_MAX: Final = 8_192
"""Longest text that is masked, in bytes of UTF-8; the rest says nothing new."""
FRAMES_MAX: Final = 5
DEPTH_MAX: Final = 200
"""Deepest level of a body that is read."""
ESCAPED_MAX: Final = 32
"""Escaped quotes in a text that the mask may look through; of more their ends are counted out."""
REMEMBERED_MAX: Final = 2_000
"""Masked texts that are remembered: a failure's is asked for when it is heard, and decided on."""

_MODEL = (
    r"(?:gpt|chatgpt|claude|gemini|llama|mistral|mixtral|qwen|deepseek|command|grok|phi|gemma"
    r"|text-embedding|whisper|tts|dall-e)-?[A-Za-z0-9][\w.\-]{0,48}|o[1-9](?:-[a-z]{2,8}){0,2}"
)
_KEEP = rf"(?P<keep><[a-z][a-z -]{{0,20}}>|(?<![\w-])(?:{_MODEL})(?![\w-]))"
"""What no mask may touch: placeholders (the scrubber's and ours) and names of models."""

_TIMES = r"(?:ns|us|µs|ms|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)"
_SIZES = r"(?:[kmgt]?i?b|bytes?|tokens?|items?|rows?|times?|attempts?|retries)"
_PROSE_KEYS = r"(?:message|error|detail|reason|description)"

MASKS: Final[tuple[tuple[str, str], ...]] = (
    ("uuid", r"(?i)(?<![0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])"),
    ("url", r"(?i)\b[a-z][a-z0-9+.\-]{1,15}://[^\s\"'<>)\]}]{1,2048}"),
    ("email", r"[\w.+\-]{1,64}@[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,8}"),
    (
        "timestamp",
        r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?"
        r"|\d{1,2}/(?:\d\d|[A-Z][a-z]{2})/\d{4}(?::\d\d:\d\d:\d\d)?|\b\d\d:\d\d:\d\d(?:[.,]\d{1,9})?",
    ),
    (
        "ip",
        r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?![\w.]\d)"
        r"|(?i)(?<![\w:])\[?(?=[a-f:.]{0,39}\d)(?=[0-9a-f.]{0,15}:[0-9a-f.]{0,15}:)"
        r"[0-9a-f:]{2,39}(?:\.\d{1,3}){0,3}(?:%\w{1,15})?(?:\](?::\d{1,5})?)?(?![\w:])",
    ),
    (
        "path",
        r"(?<![\w/.<])(?:[A-Za-z]:\\|~?/|\.\.?/)[\w.@+\-]{1,255}(?:[/\\][\w.@+\-]{1,255}){0,64}/?",
    ),
    ("quoted", r"\"(?:[^\"\\\n]|\\.){1,2048}\"|'(?:[^'\\\n]|\\.){1,2048}'|`[^`\n]{1,2048}`"),
    (
        "hex",
        r"(?i)\b0x[0-9a-f]{1,32}\b|\b(?=[a-f]{0,127}\d)(?=\d{0,127}[a-f])[0-9a-f]{8,128}\b",
    ),
    ("opaque", r"\b(?=[A-Za-z]{0,127}\d)(?=\d{0,127}[A-Za-z])[A-Za-z0-9]{16,128}\b"),
    (  # what hex and opaque have left of an id is one: `org-<hex>`, `req-<opaque>`
        "id",
        r"\b[A-Za-z]{2,16}[_\-](?:[A-Za-z]{1,16}[_\-]){0,2}"
        r"(?:<(?:hex|opaque)>|(?=[A-Za-z]{0,127}\d)(?=\d{0,127}[A-Za-z])[A-Za-z0-9]{6,128}\b)"
        r"(?:-(?=[a-z]{0,4}\d)[a-z0-9]{5}\b)?"
        r"|\b[A-Za-z]{2,16}_-?\d{6,128}\b|#\d{1,20}\b",
    ),
    (
        "duration",
        rf"(?i)(?<![\w.])\d{{1,12}}(?:\.\d{{1,9}})?\s?{_TIMES}"
        rf"(?:\s?\d{{1,6}}(?:\.\d{{1,9}})?\s?{_TIMES}){{0,3}}\b",
    ),
    (
        "number",
        r"(?i)(?<![\w.])[-+]?\d[\d,_]{0,20}(?:\.\d{1,20}){0,4}(?:e[-+]?\d{1,4})?"
        rf"(?:\s?{_SIZES})?\b%?",
    ),
)
"""The masks, in the order in which they are laid on: (placeholder, pattern). All are bounded."""


def _compiled(pattern: str) -> re.Pattern[str]:
    flags = re.IGNORECASE if "(?i)" in pattern else 0
    return re.compile(f"{_KEEP}|(?:{pattern.replace('(?i)', '')})", flags)


_RUN_OF_8, _RUN_OF_16 = re.compile(r"[0-9A-Za-z]{8}"), re.compile(r"[0-9A-Za-z]{16}")
_POSSIBLE: Final[dict[str, Callable[[str], object]]] = {
    "uuid": lambda text: text.count("-") >= 4,
    "url": lambda text: "://" in text,
    "email": lambda text: "@" in text,
    "timestamp": lambda text: text.count("-") >= 2 or text.count("/") >= 2 or text.count(":") >= 2,
    "ip": lambda text: text.count(".") >= 3 or text.count(":") >= 2,
    "path": lambda text: "/" in text or "\\" in text,
    "quoted": lambda text: '"' in text or "'" in text or "`" in text,
    "hex": lambda text: "0x" in text or "0X" in text or _RUN_OF_8.search(text),
    "opaque": _RUN_OF_16.search,
    "id": lambda text: "_" in text or "-" in text or "#" in text,
}
"""What must be in a text for a mask to fit anywhere: most texts need not be searched for most."""

_PATTERNS = tuple((name, _POSSIBLE.get(name, bool), _compiled(pattern)) for name, pattern in MASKS)
_QUOTE = re.compile(rf"{_KEEP}|(?P<ticks>`[^`\n]{{1,2048}}`)|[\"']")
QUOTED_MAX: Final = 2_048
"""Longest value in quotes that is one, in characters."""
_BEFORE_PROSE = re.compile(rf"(?i)[\"']{_PROSE_KEYS}[\"']\s*[:=]\s*$")


def mask(text: str) -> str:
    """Return `text` with everything that changes from case to case replaced.

    At most `INPUT_MAX` bytes are looked at. Names of models and the scrubber's
    placeholders stay.
    """
    if len(text) > INPUT_MAX or not text.isascii():
        text = text.encode("utf-8", "replace")[:INPUT_MAX].decode("utf-8", "ignore")
    return _laid_on(text)


@lru_cache(REMEMBERED_MAX)
def _laid_on(text: str) -> str:
    for name, fits, pattern in _PATTERNS:
        if name == "quoted" and text.count('\\"') + text.count("\\'") > ESCAPED_MAX:
            text = _without_quoted(text)
        elif fits(text):
            text = pattern.sub(lambda match, name=name: _masked(match, name), text)
    return " ".join(text.split())


def _without_quoted(text: str) -> str:
    """Lay the mask for quoted values on a text of many escaped quotes, in time linear in its size.

    The pattern would look from each of them to the end of the text whether a quote closes.
    """
    ends = {quote: _ends(text, quote) for quote in "\"'"}
    parts: list[str] = []
    done = at = 0
    while match := _QUOTE.search(text, at):
        begin, at = match.start(), match.end()
        if match["keep"]:
            continue
        end = at if match["ticks"] else ends[match[0]][begin + 1]
        if end:
            parts += [text[done:begin], _shown(text, begin, end)]
            done = at = end
    return "".join([*parts, text[done:]])


def _ends(text: str, quote: str) -> list[int]:
    """Return for each place after which place a value closes that begins there, 0 if none does.

    As the pattern says: up to 2,048 characters, one behind a backslash counted with it.
    """
    ends, lengths = [0] * (len(text) + 3), [0] * (len(text) + 3)
    for at in range(len(text) - 1, -1, -1):
        char = text[at]
        if char == quote:
            ends[at], lengths[at] = at + 1, 0
            continue
        step = 2 if char == "\\" else 1
        if char == "\n" or text[at + 1 : at + step] == "\n":
            continue
        ends[at], lengths[at] = ends[at + step], lengths[at + step] + 1
    return [
        end if 1 <= length <= QUOTED_MAX else 0 for end, length in zip(ends, lengths, strict=True)
    ]


def signature(error: ErrorFacts) -> str:
    """Return the failure's signature: `v1:` and 16 hexadecimal digits."""
    codes = [*error.codes, error.type, error.sqlstate or "", str(error.status_code or "")]
    parts: list[Any] = [
        error_type(error),
        [code for code in codes if code],
        mask(text_of(error))[:TEXT_MAX],
        [list(frame) for frame in in_app_frames(error.frames)],
        error.stage,
        error.dependency.partition(":")[0],
    ]
    canonical = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return f"{VERSION}:{hashlib.sha256(canonical.encode()).hexdigest()[:16]}"


def error_message(error: ErrorFacts) -> str:
    """Return the masked text for people, at most `MESSAGE_MAX` code points."""
    return mask(text_of(error))[:MESSAGE_MAX]


def error_message_hash(error: ErrorFacts) -> str:
    """Return the SHA-256 of the whole masked text, in hexadecimal digits."""
    return hashlib.sha256(mask(text_of(error)).encode()).hexdigest()


def error_type(error: ErrorFacts) -> str:
    """Return `package.Class` of the exception, or the typed code where there is none."""
    if not error.classes:
        return error.type
    package, _, name = error.classes[0].rpartition(".")
    return f"{package.partition('.')[0] or 'builtins'}.{name}"


def text_of(error: ErrorFacts) -> str:
    """Return what the other side said (`error.message` of its body), else our own text."""
    body = error.detail
    if isinstance(body, dict) and "body" in body:
        body = cast("dict[str, Any]", body)["body"]
    if isinstance(body, str) and body[:1] == "{" and len(body) <= INPUT_MAX:
        if _is_deep(body):
            return error.message
        try:
            body = json.loads(body)
        except ValueError:
            return error.message
    if isinstance(body, dict):
        said = cast("dict[str, Any]", body).get("error")
        if isinstance(said, dict):
            said = cast("dict[str, Any]", said).get("message")
            if isinstance(said, str) and said:
                return said
    return error.message


def _is_deep(body: str) -> bool:
    """Return whether JSON may be nested so deep that reading it depends on who reads it."""
    if body.count("{") + body.count("[") <= DEPTH_MAX:
        return False
    depth = deepest = 0
    for char in body:
        depth += (char in "{[") - (char in "}]")
        deepest = max(deepest, depth)
    return deepest > DEPTH_MAX


def in_app_frames(frames: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return the last `FRAMES_MAX` frames, each once at its last place.

    So a recursion of any depth is one frame; `<lambda>`, `<module>` and their like say nothing.
    """
    named = [frame for frame in frames if not frame[1].startswith("<")]
    last = {frame: place for place, frame in enumerate(named)}
    return tuple(sorted(last, key=last.__getitem__))[-FRAMES_MAX:]


def _masked(match: re.Match[str], name: str) -> str:
    if match["keep"]:
        return match[0]
    return _shown(match.string, *match.span()) if name == "quoted" else f"<{name}>"


def _shown(text: str, begin: int, end: int) -> str:
    """Return what stands for a quoted value: names and prose stay as they are."""
    value = text[begin + 1 : end - 1]
    telling = any(char.isdigit() or char.isspace() for char in value) or len(value) > 40
    prose = _BEFORE_PROSE.search(text[max(0, begin - 24) : begin])
    if not telling or prose or text[end : end + 1] == ":":
        return text[begin:end]
    return "<quoted>"
