"""Secrets taken out of texts and JSON before anything is published.

Three nets, each for what the others let through: forms that give a secret away by
themselves (known prefixes, headers, URLs, PEM blocks), values whose key says that they are
secret, and opaque tokens, which do not look like words. Names of people get through: this
is no promise that a text holds no personal data.

Everything runs in time linear in the size of the text, which is capped; what is cut off
is gone, not unscrubbed. Scrubbing twice changes nothing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from perdure_contracts.message import Json

SECRET = "<secret>"
"""What stands where a secret stood."""
CUT = "<cut>"
"""What stands where something too long or too deep was cut off."""

TEXT_MAX = 65_536
"""Longest text that is looked at, in characters."""
NODES_MAX = 100_000
"""Most values of one JSON document that are looked at."""
DEPTH_MAX = 64
"""Deepest level of a JSON document that is looked at."""

TOKEN_MIN = 20
"""Fewest letters and digits of an opaque token in running text."""
ASSIGNED_MIN = 16
"""Fewest letters and digits of an opaque token that something is set to."""
PIECE_MIN = 6
"""Fewest letters and digits of an opaque piece beside another one: `a1b2c3.<secret>`."""
STRANGE_SHARE_MIN = 0.3
"""Share of adjacent character pairs that no word has, from which a token is opaque.

Random base 62 has about .65, hexadecimal .60, English and code identifiers .05 to .15.
"""

_SECRET_KEY = re.compile(
    r"(?:password|passwd|passwort|passphrase|passcode|pwd|secrets?|token|cookie|credentials?"
    r"|(?:api|access|secret|private|auth|signing|encryption|master|license|account|shared|session"
    r"|service|subscription)key|authorization|connectionstring|sessionid|sessid|jwt|otp)$"
)
_NOT_SECRET = re.compile(
    r"(?:max|min|num|total|count|prompt|completion|input|output|cached|per|bad|invalid|"
    r"unexpected|missing|stop|eos|bos|pad|error)token$"
)
_KNOWN = re.compile(
    r"(?<![A-Za-z0-9_\-])(?:"  # a form begins where a token begins: keeps the search linear
    r"sk-[A-Za-z0-9_\-]{16,}|[rsp]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{16,}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|gl[a-z]{2,5}-[A-Za-z0-9_\-.]{16,}"
    r"|xox[a-z]-[A-Za-z0-9\-]{8,}|xapp-[A-Za-z0-9\-]{8,}"
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}|AIza[A-Za-z0-9_\-]{30,}|ya29\.[A-Za-z0-9_\-]{16,}"
    r"|GOCSPX-[A-Za-z0-9_\-]{16,}|1//[A-Za-z0-9_\-]{30,}|SG\.[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]+"
    r"|eyJ[A-Za-z0-9_\-]{6,}(?:\.[A-Za-z0-9_\-]+){1,4}|npm_[A-Za-z0-9]{20,}|pypi-[A-Za-z0-9_\-]{16,}"
    r"|do[opr]_v1_[a-f0-9]{20,}|hf_[A-Za-z0-9]{16,}|shp[a-z]{2}_[A-Za-z0-9]{16,}"
    r"|dapi[a-f0-9]{20,}|hv[sb]\.[A-Za-z0-9_\-]{16,}|PMAK-[A-Za-z0-9\-]{16,}|lin_api_[A-Za-z0-9]{16,}"
    r"|key-[0-9a-f]{20,}|AGE-SECRET-KEY-1[A-Z0-9]{20,}"
    r")"
)
_HOOK = re.compile(
    r"(?i)(?<=hooks\.slack\.com/)[\w/+\-]{8,}|(?<=discord\.com/api/webhooks/)[\w/\-]+"
)
_USERINFO = re.compile(r"(?<=://)[^\s/@\"'<>]{1,256}+@")
_SCHEME = re.compile(
    r"(?i)\b(bearer|basic|negotiate|digest|apikey)\s{1,3}([A-Za-z0-9+/_.~\-]{6,}={0,2})"
)
_FLAG = re.compile(
    r"(?i)(?<!\S)(--?(?:[\w\-]{0,30}-)?(?:password|passwd|pass|token|secret|api-?key|pat))\s{1,3}"
    r"(?!-)([^\s\"']{3,512})"
)
_KEY = re.compile(
    r"(?<![\w.\-])-{0,2}([A-Za-z][\w.\-]{1,60}+)\\{0,15}[\"']?\]?\s{0,40}(?:=>|:=|==?|:)(\s{0,40})"
)
_QUOTE_ENTITY = "(?:&quot;|&#34;|&#x22;|&apos;|&#39;|&#x27;)"
_MARKUP: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # <password>…</password>, in SOAP and configurations
        r"<(?:[\w\-]{1,40}+:)?([A-Za-z][\w.\-]{1,60}+)(?:\s[^<>]{0,200})?>([^<>]{1,4096})</",
        # &quot;password&quot;: &quot;…&quot;, JSON in a page
        rf"([A-Za-z][\w.\-]{{1,60}}+){_QUOTE_ENTITY}\s{{0,3}}:\s{{0,3}}{_QUOTE_ENTITY}"
        rf"((?:(?!{_QUOTE_ENTITY})[^<>\n]){{1,4096}})",
        # name="password" value="…", and the field of a form: name="password", a blank line, …
        r"\bname=[\"']([A-Za-z][\w.\-]{1,60}+)[\"'](?:[^<>\r\n]{0,200}\bvalue=[\"']"
        r"|(?:;[^\r\n]{0,200})?(?:\r?\n){2})([^\"'<>\r\n]{1,4096})",
    )
)
"""What markup sets secret keys to: (key, value). Each is bounded and begins at its own mark."""
_PERCENT = "%(?:25){0,2}"
_ENCODED = re.compile(
    rf"(?i)(?:(?<![\w.\-])|(?<=%26)|(?<=%3F)|(?<=%22)|(?<=%20)|(?<=%2526)|(?<=%2522)|(?<=%253F))"
    rf"([A-Za-z][\w.\-]{{1,60}}+)(?:{_PERCENT}22)?(?:{_PERCENT}20|\+){{0,3}}{_PERCENT}3[AD]"
    rf"(?:{_PERCENT}20|\+){{0,3}}+(?:{_PERCENT}22)?+"
    rf"((?:(?!{_PERCENT}(?:26|22|7D))[^\s&\"'<>,;)\]}}]){{1,4096}})"
)
"""What is set to a secret key in text that is written as in a URL: `password%3D…`."""
_BLOCK = re.compile(
    r"[|>][+\-]?[ \t]{0,8}\r?\n[ \t]{1,40}"
    r"([^\s][^\r\n]{0,4096}(?:\r?\n[ \t]{1,40}[^\s][^\r\n]{0,4096}){0,63})"
)
_QUOTED = re.compile(r"(?:[bru]{1,2}(?=[\"']))?([\"'])((?:(?!\1)[^\\\n]|\\.){0,4096})\1?")
_ESCAPED = re.compile(r"\\{1,15}([\"'])((?:(?!\1)[^\\\n]){0,4096})\\{0,15}\1?")
_BARE = re.compile(r"(?:[^\s,;&\"')\]}]|,(?=\S)){1,1024}")
_LINE = re.compile(r"[^\r\n\"']{1,4096}")
_PLAIN = re.compile(r"(?i)[a-z]{1,12}[.,;]?$|\d{1,6}$|\[?<?null>?$")
_TOKEN = re.compile(r"(?<![A-Za-z0-9+/_.~\-])[A-Za-z0-9+/_.~\-]{16,}={0,2}")
_PIECE = re.compile(r"[^/.]+")
_WORD = re.compile(r"[A-Za-z0-9]+")
_UUID = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAMED_DIGEST = re.compile(
    r"(?i)(?:sha-?(?:1|256|512)|md5|crc32c?|etag|commit|digest)[:= ]{1,2}\"?$"
)
_IDENTIFIER_KEY = re.compile(
    r"(?i)(?:^|[_\-.])(?:sha1|sha256|sha512|md5|digest|checksum|etag|commit|fingerprint|traceparent"
    r"|tracestate|signature_id|pattern_signature)$|(?:^|[a-z_\-.])(?:trace|span|request|execution"
    r"|node|workflow|failure|attempt|event|tenant|workspace|message|job|run)[_\-]?id$"
)
_PEM_BEGIN = "-----BEGIN "
_PEM_END = "-----END "

_PAIRS = {
    "a": "bcdgiklmnprstuvwy",
    "b": "abeijlorsuy",
    "c": "acehiklorstuy",
    "d": "adegeilnorsuvwy",
    "e": "abcdefghiklmnopqrstvwxy",
    "f": "aefilorstuy",
    "g": "aeghilnorstu",
    "h": "aeinortuy",
    "i": "abcdefgklmnopqrstvxz",
    "j": "aeosu",
    "k": "aeilnosy",
    "l": "adefgiklmnopstuvy",
    "m": "abeimnopsuy",
    "n": "acdefgiklmnoqstuvyz",
    "o": "abcdefghiklmnoprstuvwxy",
    "p": "aehiloprstuy",
    "q": "lu",
    "r": "abcdefgiklmnoprstuvy",
    "s": "acdehiklmnopqrstuvwy",
    "t": "acehilmnoprstuwxy",
    "u": "abcdefgilmnprstx",
    "v": "aeio",
    "w": "aehinors",
    "x": "aceipty",
    "y": "aceilmnopst",
    "z": "aeioz",
}
"""Letters that follow each letter in English words and identifiers (94 % of their pairs)."""


def scrub_text(text: str) -> str:
    """Return `text` without its secrets; each leaves `<secret>` in its place.

    Text beyond `TEXT_MAX` characters is cut off at the last blank before, with `<cut>`.
    """
    if len(text) > TEXT_MAX:
        head = text[:TEXT_MAX]
        text = head[: head.rfind(" ") + 1] + CUT
    if len(text) < 6:
        return text
    text = _without_pem(text)
    text = _USERINFO.sub(f"{SECRET}@", text)
    text = _HOOK.sub(SECRET, text)
    text = _KNOWN.sub(SECRET, text)
    text = _SCHEME.sub(_masked_scheme, text)
    text = _FLAG.sub(rf"\1 {SECRET}", text)
    text = _without_keyed(text)
    if "<" in text or "&" in text or "name=" in text:
        for pattern in _MARKUP:
            text = pattern.sub(_masked_markup, text)
    if "%" in text:
        text = _ENCODED.sub(_masked_markup, text)
    return _TOKEN.sub(_masked_token, text)


def scrub_json(value: Json) -> Json:
    """Return a copy of the JSON `value` without its secrets; numbers and shapes stay.

    Beyond `DEPTH_MAX` levels or `NODES_MAX` values there is `<cut>`.
    """
    return _scrubbed(value, "", secret=False, depth=0, left=[NODES_MAX])


def is_secret_key(key: str) -> bool:
    """Tell whether a value under `key` is secret: `password`, `x-api-key`, `accessToken`."""
    plain = re.sub(r"[^a-z0-9]", "", key[-64:].lower())
    return _SECRET_KEY.search(plain) is not None and _NOT_SECRET.search(plain) is None


def is_opaque(token: str, length_min: int = TOKEN_MIN) -> bool:
    """Tell whether `token` looks made by a machine to be unguessable.

    Counted are pairs of adjacent characters inside runs of letters and digits; a pair is
    strange if it joins a digit and a letter, or two letters that seldom meet in words.
    """
    runs = _WORD.findall(token)
    length = sum(map(len, runs))
    if length < length_min:
        return False
    strange = pairs = 0
    for run in runs:
        before = ""
        for char in run:
            if before and not (before.islower() and char.isupper()):  # camelCase is no pair
                pairs += 1
                strange += _is_strange(before, char)
            before = char
    if pairs == 0:
        return False
    if token.isalpha() and (token.islower() or token.isupper()):
        return length >= TOKEN_MIN and strange / pairs >= 0.45  # a long word of any language
    return strange / pairs >= STRANGE_SHARE_MIN


def _is_strange(before: str, char: str) -> bool:
    if before.isdigit() or char.isdigit():
        return before.isdigit() != char.isdigit()
    return char.lower() not in _PAIRS[before.lower()]


def _scrubbed(value: Json, key: str, *, secret: bool, depth: int, left: list[int]) -> Json:
    left[0] -= 1
    if depth > DEPTH_MAX or left[0] < 0:
        return CUT
    if isinstance(value, str):
        if secret:
            return SECRET if value else value
        if key and _IDENTIFIER_KEY.search(key) and len(value) <= 200 and not _KNOWN.search(value):
            return value
        return scrub_text(value)
    if isinstance(value, Mapping):
        result: dict[str, Any] = {}
        for name, item in cast("Mapping[Any, Any]", value).items():
            under = secret or is_secret_key(str(name))
            kept = scrub_text(str(name))
            result[kept] = _scrubbed(item, str(name), secret=under, depth=depth + 1, left=left)
        return result
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        items = cast("Sequence[Any]", value)
        return [_scrubbed(i, key, secret=secret, depth=depth + 1, left=left) for i in items]
    if secret and isinstance(value, int | float) and not isinstance(value, bool):
        return SECRET
    return value


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


def _masked_scheme(match: re.Match[str]) -> str:
    scheme, value = match.groups()
    if value.isalpha() and (value.islower() or value.istitle()) and not is_opaque(value, 8):
        return match[0]  # "basic authentication"
    return f"{scheme} {SECRET}"


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
    for match in _KEY.finditer(text):
        if match.start() < at or not is_secret_key(match[1]):
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
    if quoted := _QUOTED.match(text, start) or _ESCAPED.match(text, start):
        return (quoted.start(2), quoted.end(2)) if quoted[2] else None
    if block := _BLOCK.match(text, start):  # YAML: what is indented below
        return block.span(1)
    whole_line = key[1].lower().endswith(("authorization", "cookie"))
    value = (_LINE if whole_line else _BARE).match(text, start)
    if value is None or value[0].startswith(("{", "[", "(")):
        return None
    words = value[0].partition(" ")
    if key[2] and _PLAIN.match(words[0]) and not re.search(r"[\d=]", words[2]):
        return None  # "token: expired", "cookie: missing"
    return value.span()


def _masked_token(match: re.Match[str]) -> str:
    token = match[0]
    if _UUID.fullmatch(token) or "xn--" in token:
        return token
    before = match.string[max(0, match.start() - 24) : match.start()]
    if _NAMED_DIGEST.search(before):
        return token
    assigned = before[-1:] in {"=", ":", '"', "'", "`"} or before[-2:] in {"= ", ": "}
    length_min = ASSIGNED_MIN if assigned else TOKEN_MIN
    if "/" in token or "." in token:
        masked = _PIECE.sub(lambda piece: _masked_piece(piece[0], length_min), token)
        if masked != token:  # beside an opaque piece, shorter ones that are no words belong to it
            return _PIECE.sub(lambda piece: _masked_piece(piece[0], PIECE_MIN), masked)
    return SECRET if is_opaque(token, length_min) else token


def _masked_piece(piece: str, length_min: int) -> str:
    if _UUID.fullmatch(piece):
        return piece
    return SECRET if is_opaque(piece, length_min) else piece
