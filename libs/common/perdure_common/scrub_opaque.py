"""Opaque tokens: what looks made by a machine to be unguessable, rather than like words."""

import re
from itertools import product
from operator import add
from typing import Final

from .scrub_forms import SECRET

TOKEN_MIN: Final = 20
"""Fewest letters and digits of an opaque token in running text."""
ASSIGNED_MIN: Final = 16
"""Fewest letters and digits of an opaque token that something is set to."""
PIECE_MIN: Final = 6
"""Fewest letters and digits of an opaque piece beside another one: `a1b2c3.<secret>`."""
STRANGE_SHARE_MIN: Final = 0.3
"""Share of adjacent character pairs that no word has, from which a token is opaque.

Random base 62 has about .65, hexadecimal .60, English and code identifiers .05 to .15.
"""

_TOKEN: Final = re.compile(r"[A-Za-z0-9+/_.~\-]{16,}={0,2}")
_PIECE: Final = re.compile(r"[^/.]+")
_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_CAMEL: Final = re.compile(r"[a-z](?=[A-Z])")
_UUID: Final = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CLOUD_KEY: Final = re.compile(r"(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])(?=[^0-9]*[0-9])[A-Za-z0-9+/]{40}")
"""Forty of base 64: a cloud's secret key, whose slashes may cut it into short pieces."""
_NAMED_DIGEST: Final = re.compile(
    r"(?i)(?:sha-?(?:1|256|512)|md5|crc32c?|etag|commit|digest)[:= ]{1,2}\"?$"
)

_PAIRS: Final = {
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


def _strange_pairs() -> frozenset[str]:
    letters, digits = "".join(_PAIRS), "0123456789"
    strange = {
        before + after for before, after in product(letters, letters) if after not in _PAIRS[before]
    }
    mixed = {*map("".join, product(letters, digits)), *map("".join, product(digits, letters))}
    # aB is where camelCase begins a word, which is no pair of letters at all
    return frozenset(
        {*mixed, *map(str.upper, mixed), *strange, *map(str.upper, strange)}
        | {before.upper() + after for before, after in strange}
    )


_STRANGE: Final = _strange_pairs()
"""Adjacent characters that join a digit and a letter, or two letters that seldom meet."""


def is_opaque(token: str, length_min: int = TOKEN_MIN) -> bool:
    """Tell whether `token` looks made by a machine to be unguessable.

    Counted are pairs of adjacent characters inside runs of letters and digits; a pair is
    strange if it joins a digit and a letter, or two letters that seldom meet in words.
    """
    if len(token) < length_min:
        return False
    runs = _WORD.findall(token)
    length = sum(map(len, runs))
    if length < length_min:
        return False
    pairs = length - len(runs) - len(_CAMEL.findall(token))
    if pairs == 0:
        return False
    strange = sum(map(_STRANGE.__contains__, map(add, token, token[1:])))
    if token.isalpha() and (token.islower() or token.isupper()):
        return length >= TOKEN_MIN and strange / pairs >= 0.45  # a long word of any language
    return strange / pairs >= STRANGE_SHARE_MIN


def without_opaque(text: str) -> str:
    """Return `text` without opaque tokens; UUIDs and digests that are called so stay."""
    return _TOKEN.sub(_masked_token, text)


def _masked_token(match: re.Match[str]) -> str:
    token = match[0]
    if len(token) == 36 and _UUID.fullmatch(token):
        return token
    begin = max(0, match.start() - 24)
    before = match.string[begin : match.start()]
    assigned = before[-1:] in {"=", ":", '"', "'", "`"} or before[-2:] in {"= ", ": "}
    masked = _masked(token, ASSIGNED_MIN if assigned else TOKEN_MIN)
    return token if masked != token and _NAMED_DIGEST.search(before) else masked


def _masked(token: str, length_min: int) -> str:
    if "xn--" in token:
        return token
    if "/" in token or "." in token:
        if len(token) == 40 and _CLOUD_KEY.fullmatch(token) and is_opaque(token, length_min):
            return SECRET
        long = [piece for piece in _PIECE.findall(token) if len(piece) >= length_min]
        if any(_masked_piece(piece, length_min) is SECRET for piece in long):
            # beside an opaque piece, shorter ones that are no words belong to it
            return _PIECE.sub(lambda piece: _masked_piece(piece[0], PIECE_MIN), token)
    return SECRET if is_opaque(token, length_min) else token


def _masked_piece(piece: str, length_min: int) -> str:
    if not is_opaque(piece, length_min) or _UUID.fullmatch(piece):
        return piece
    return SECRET
