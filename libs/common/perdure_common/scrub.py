"""Secrets taken out of texts and JSON before anything is published.

Three nets, each for what the others let through: forms that give a secret away by
themselves (known prefixes, headers, URLs, PEM blocks, command lines), values whose key says
that they are secret, and opaque tokens, which do not look like words. Names of people get
through: this is no promise that a text holds no personal data.

Everything runs in time linear in the size of the text, which is capped; what is cut off
is gone, not unscrubbed. Scrubbing twice changes nothing. Most texts of a document are short
and plain, and most of its keys come again: neither is looked at more closely than it must.

scrub_forms.py has the patterns, scrub_commands.py what only a command tells, scrub_prose.py what a
sentence does, scrub_opaque.py what looks like no word.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from perdure_contracts.message import Json

from . import scrub_forms as forms
from .scrub_commands import without_commands
from .scrub_forms import SECRET
from .scrub_opaque import is_opaque, without_opaque
from .scrub_prose import STEMS, ends_clause, is_state, without_said

__all__ = ["CUT", "DEPTH_MAX", "SECRET", "TEXT_MAX", "is_secret_key", "scrub_json", "scrub_text"]

CUT = "<cut>"
"""What stands where something too long or too deep was cut off."""

TEXT_MAX = 65_536
"""Longest text that is looked at, in characters."""
NODES_MAX = 100_000
"""Most values of one JSON document that are looked at."""
DEPTH_MAX = 64
"""Deepest level of a JSON document that is looked at."""

_SECRET_KEY: Final = re.compile(
    r"(?:password|passwd|passwort|passphrase|passcode|pwd|pswd|pword|kennwort|motdepasse|senha"
    r"|wachtwoord|heslo|secrets?|token|cookie|credentials?"
    r"|(?:api|access|secret|private|auth|signing|encryption|master|license|account|shared|session"
    r"|service|subscription|application|app|functions?|admin|storage|consumer|write|hmac)key"
    r"|authorization|connectionstring|sessionid|sessid|jwt|otp)$"
)
_OTHER_KEY: Final = re.compile(
    # DB_PASS and dbPass, but no bypass; what is written in letters of its own
    r"(?<=[A-Za-z\d])(?:(?<!test)(?<!tests)(?<!first)(?<!second)(?<!one)(?<!two)(?<!by)[_\-.]pass"
    r"|(?<=[a-z])Pass|[_\-]PASS)$"
    r"|(?i:contraseña|hasło|lösenord|пароль|密码|密碼|パスワード|비밀번호)$"
)
_WORD_KEYS: Final = frozenset({"token", "secret", "secrets", "credential", "credentials", "jwt"})
"""Keys after which a word is most likely no secret: "token: expired"."""
_PASS: Final = re.compile(r"(?i)(?:pass|pw)=(?!(?:\d+|true|false|yes|no|ok)\b)")
_NOT_SECRET: Final = re.compile(
    r"(?:max|min|num|total|count|prompt|completion|input|output|cached|per|bad|invalid|"
    r"unexpected|missing|stop|eos|bos|pad|error)token$"
)
_NO_SIGN: Final = re.compile(r"[^a-z0-9]")
_IDENTIFIER_KEY: Final = re.compile(
    r"(?i)(?:^|[_\-.])(?:sha1|sha256|sha512|md5|digest|checksum|etag|commit|fingerprint|traceparent"
    r"|tracestate|signature_id|pattern_signature)$|(?:^|[a-z_\-.])(?:trace|span|request|execution"
    r"|node|workflow|failure|attempt|event|tenant|workspace|message|job|run)[_\-]?id$"
)
_PEM_BEGIN: Final = "-----BEGIN "
_PEM_END: Final = "-----END "


def scrub_text(text: str) -> str:
    """Return `text` without its secrets; each leaves `<secret>` in its place.

    Text beyond `TEXT_MAX` characters is cut off at the last blank before, with `<cut>`. What has
    a secret that only shows without invisible characters, or with letters of full width as
    usual ones, is returned so.
    """
    if len(text) > TEXT_MAX:
        head = text[:TEXT_MAX]
        text = head[: head.rfind(" ") + 1] + CUT
    if len(text) < 6 or forms.HARMLESS.fullmatch(text):
        return text
    if not text.isascii() and forms.UNUSUAL.search(text):
        usual = text.translate(forms.USUAL)
        scrubbed = _scrubbed_text(usual)
        if scrubbed != usual:
            return scrubbed
    return _scrubbed_text(text)


def _scrubbed_text(text: str) -> str:
    low = text.lower()
    if _is_plain(low):
        return text
    if _PEM_BEGIN in text:
        text = _without_pem(text)
    if "@" in text or "://" in text:
        text = _without_addressed(text, low)
    text = forms.KNOWN.sub(SECRET, forms.CLOUD_ID.sub(rf"\1{SECRET}", text))
    if _has_any(forms.SCHEMES, low):
        text = forms.SCHEME.sub(_masked_scheme, text)
    if "|" in text or ("-" in text and forms.OPTION.search(text)):
        text = forms.FLAG.sub(forms.masked_after_lead, without_commands(text))
    if ":" in text or "=" in text:
        text = _without_keyed(text)
    if _has_any(STEMS, low):
        text = without_said(text)
    if "uthorization" in low or "ookie" in low or "x-" in low:
        text = forms.PAIR.sub(_masked_pair, text)
    if "<" in text or "&" in text or "name=" in low:
        for words, pattern in forms.MARKUP:
            if _has_any(words, low):
                text = pattern.sub(_masked_markup, text)
    if "value" in low:
        text = forms.NAMED.sub(_masked_markup, text)
    if "%3" in text or "%25" in text:
        text = forms.ENCODED_USERINFO.sub(rf"\1{SECRET}", text)
        text = forms.ENCODED.sub(_masked_markup, text)
    return without_opaque(text)


def _is_plain(low: str) -> bool:
    """Tell whether a text has nothing that any form or net must have to match."""
    return (
        not forms.SIGNS.search(low)
        and len(max(low.split(), key=len, default="")) < forms.WORD_MIN
        and not _has_any(forms.SCHEMES, low)
        and "cookie" not in low
        and not (low.count(" ") > 1 and _has_any(STEMS, low))
    )


def _has_any(words: tuple[str, ...], low: str) -> bool:
    return any(map(low.__contains__, words))


def scrub_json(value: Json) -> Json:
    """Return a copy of the JSON `value` without its secrets; numbers and shapes stay.

    Beyond `DEPTH_MAX` levels or `NODES_MAX` values there is `<cut>`.
    """
    return _Document().scrubbed(value, _Key(""), secret=False, depth=0)


@lru_cache(maxsize=4_096)
def is_secret_key(key: str) -> bool:
    """Tell whether a value under `key` is secret: `password`, `x-api-key`, `accessToken`."""
    usual = key[-64:] if key.isascii() else key[-64:].translate(forms.USUAL)
    plain = _NO_SIGN.sub("", usual.lower())
    if _SECRET_KEY.search(plain) is not None:
        return _NOT_SECRET.search(plain) is None
    return _OTHER_KEY.search(usual) is not None


class _Key:
    """What the name of a value says about it."""

    __slots__ = ("identifier", "kept", "secret")

    def __init__(self, name: str) -> None:
        self.kept = scrub_text(name)
        self.secret = is_secret_key(name)
        self.identifier = _IDENTIFIER_KEY.search(name) is not None


class _Document:
    """One document while it is scrubbed: the names that it had so far, and how much is left."""

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}
        self._left = NODES_MAX

    def scrubbed(self, value: Json, key: _Key, *, secret: bool, depth: int) -> Json:
        """Return `value`, which stands under `key`, without its secrets."""
        self._left -= 1
        if depth > DEPTH_MAX or self._left < 0:
            return CUT
        if isinstance(value, str):
            if secret:
                return SECRET if value else value
            if key.identifier and len(value) <= 200 and not forms.KNOWN.search(value):
                return value
            return scrub_text(value)
        if value is None or isinstance(value, int | float):
            return SECRET if secret and not isinstance(value, bool | None) else value
        if isinstance(value, dict | Mapping):  # dict first: what is abstract is found out slowly
            return self._mapping(cast("Mapping[Any, Any]", value), secret, depth)
        if isinstance(value, list | Sequence) and not isinstance(value, bytes | bytearray):
            return self._sequence(cast("Sequence[Any]", value), key, secret, depth)
        return value

    def _mapping(self, value: Mapping[Any, Any], secret: bool, depth: int) -> Json:
        result: dict[str, Any] = {}
        named = value.get("name", value.get("key")) if "value" in value else None
        for name, item in value.items():
            key = self._key(str(name))
            under = secret or key.secret
            if name == "value" and isinstance(named, str):  # {"name": "password", "value": …}
                under = under or is_secret_key(named)
            result[key.kept] = self.scrubbed(item, key, secret=under, depth=depth + 1)
        return result

    def _sequence(self, value: Sequence[Any], key: _Key, secret: bool, depth: int) -> Json:
        result: list[Any] = []
        before: Any = None
        for item in value:
            under = secret or _is_paired(before, item)
            result.append(self.scrubbed(item, key, secret=under, depth=depth + 1))
            before = item
        return result

    def _key(self, name: str) -> _Key:
        key = self._keys.get(name)
        if key is None:
            key = self._keys[name] = _Key(name)
        return key


def _is_paired(name: object, value: object) -> bool:
    """Tell whether a list has a secret header and its value: ["Authorization", "Bearer …"]."""
    return (
        isinstance(name, str)
        and isinstance(value, str)
        and len(name) <= 64
        and name.lower().endswith(forms.HEADERS)
        and is_secret_key(name)
        and forms.PAIRED.search(value) is not None
    )


def _without_pem(text: str) -> str:
    """Mask private key blocks from BEGIN to END; an unfinished one to the end of the text."""
    parts: list[str] = []
    at = 0
    while (begin := text.find(_PEM_BEGIN, at)) >= 0:
        label = text[begin : begin + 64]
        if "PRIVATE KEY" not in label and "SECRET" not in label:
            parts.append(text[at : begin + len(_PEM_BEGIN)])
            at = begin + len(_PEM_BEGIN)
            continue
        parts += [text[at:begin], SECRET]
        end = text.find(_PEM_END, begin)
        close = text.find("-----", end + len(_PEM_END)) if end >= 0 else -1
        at = close + 5 if close >= 0 else len(text)
    return "".join([*parts, text[at:]])


def _without_addressed(text: str, low: str) -> str:
    """Mask what stands in addresses: names and passwords, and the paths of web hooks."""
    if "://" in text:
        text = forms.USERINFO.sub(f"://{SECRET}@", text)
        if any(host in low for host in forms.HOOKS):
            text = forms.HOOK.sub(SECRET, text)
    if "@tcp(" in text or "@unix(" in text:
        text = forms.SOURCE_NAME.sub(rf"\1{SECRET}@", text)
    return text


def _masked_scheme(match: re.Match[str]) -> str:
    scheme, value = match.groups()
    if value.isalpha() and (value.islower() or value.istitle()) and not is_opaque(value, 8):
        return match[0]  # "basic authentication"
    return f"{scheme} {SECRET}"


def _masked_pair(match: re.Match[str]) -> str:
    paired = _is_paired(match["key"], match["value"]) or _is_tuple(match)
    return match["lead"] + SECRET if paired else match[0]


def _is_tuple(match: re.Match[str]) -> bool:
    """Tell whether a secret header and a word stand by themselves: ("X-Api-Key", "…")."""
    text, key, value = match.string, match["key"].lower(), match["value"].lower()
    before = text[max(0, match.start() - 2) : match.start()].rstrip("bu")
    after = text[match.end() : match.end() + 5].lstrip("\\")
    others = value.endswith(forms.HEADERS) or value in ("accept", "host", "origin", "referer")
    return (
        before.endswith("(")
        and after[1:2] == ")"
        and key.endswith(forms.HEADERS)
        and not others
        and not is_state(value)
    )


def _masked_markup(match: re.Match[str]) -> str:
    key, value = match.groups()
    if not is_secret_key(key) or not value.strip() or value == SECRET:
        return match[0]
    whole, at = match[0], match.start()
    return whole[: match.start(2) - at] + SECRET + whole[match.end(2) - at :]


def _without_keyed(text: str) -> str:
    """Mask the values of secret keys: `password=…`, `"token": "…"`, `Cookie: …`."""
    parts: list[str] = []
    at = 0
    for match in forms.KEY.finditer(text):
        secret = is_secret_key(match[1]) or _PASS.match(text, match.start())
        if not secret or match.start() < at:
            continue
        value = _value_after(text, match)
        if value is None:
            continue
        start, end = value
        parts += [text[at:start], SECRET]
        at = end
    return "".join([*parts, text[at:]])


def _value_after(text: str, key: re.Match[str]) -> tuple[int, int] | None:
    """Return where the value of a secret key stands, None if there is none."""
    start = key.end()
    if quoted := forms.QUOTED.match(text, start) or forms.ESCAPED.match(text, start):
        return (quoted.start(2), quoted.end(2)) if quoted[2] else None
    if block := forms.BLOCK.match(text, start):  # YAML: what is indented below
        return block.span(1)
    if listed := forms.LISTED.match(text, start) or forms.LISTED_BARE.match(text, start):
        return None if is_state(listed[1]) else listed.span(1)
    in_string = key.start() > 0 and text[key.start() - 1] == ";"
    if in_string and (between := forms.BETWEEN.match(text, start)):
        return between.span()
    if text.startswith(("{", "[", "("), start):
        return None
    whole_line = key[1].lower().endswith(("authorization", "cookie"))
    value = (forms.LINE if whole_line else forms.BARE).match(text, start)
    if value is None:
        return None
    first, _, rest = value[0].partition(" ")
    if first.lower() in forms.SCHEMES and rest and " " not in rest:
        return start + len(first) + 1, value.end()  # "Authorization: Bearer …", whatever it is
    if first.lower() in forms.OWN_SCHEMES and rest and " " not in rest and not is_state(rest):
        return start + len(first) + 1, value.end()
    worded = key[2] and forms.SENTENCE.match(first) and not re.search(r"[\d=]", rest)
    if worded and (whole_line or key[1].lower() in _WORD_KEYS or _is_said(text, value)):
        return None  # "token: expired", "cookie: missing", "password: wrong"
    return value.span()


def _is_said(text: str, value: re.Match[str]) -> bool:
    """Tell whether a word or number after a secret key says something of it."""
    word = value[0].rstrip(".")
    short = word.isdecimal() and len(word) < 4
    return short or is_state(word) or not ends_clause(text, value.start() + len(word))
