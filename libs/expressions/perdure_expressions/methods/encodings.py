"""Texts from numbers of characters, and the encodings of URLs and Base64."""

import base64
import binascii
import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from perdure_expressions.errors import ExpressionError
from perdure_expressions.limits import Frame, Value
from perdure_expressions.registry import Arguments, argument, function, method
from perdure_expressions.values import to_integer, to_number, to_text, whole

_URL_COMPONENT: Final = "!*'()~-_."
_SEPARATORS: Final = re.compile(r"%(3B|2F|3F|3A|40|26|3D|2B|24|2C|23)", re.IGNORECASE)
_URL_WHOLE: Final = _URL_COMPONENT + ";/?:@&=+$,#"


@function("String.fromCharCode")
def from_char_code(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The text of UTF-16 units."""
    f.text(len(arguments))
    return whole(f, "".join(chr(to_integer(f, each) & 0xFFFF) for each in arguments))


@function("String.fromCodePoint")
def from_code_point(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The text of characters."""
    f.text(len(arguments))
    codes = [to_integer(f, each) for each in arguments]
    exact = all(to_number(f, each) == code for each, code in zip(arguments, codes, strict=True))
    if not exact or any(not 0 <= code <= 0x10FFFF for code in codes):
        raise ExpressionError("expression_range", "There is no character with this number.")
    return "".join(map(chr, codes))


def _url_encoded(f: Frame, arguments: Arguments, safe: str) -> str:
    """Percent-encoded UTF-8."""
    text = to_text(f, argument(arguments, 0))
    f.spend(len(text) if not text.isascii() else len(text) >> 2)
    f.text(3 * len(text) if text.isascii() else 9 * len(text), True)
    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError:
        raise ExpressionError("expression_range", "The text has half a character in it.") from None


@function("encodeURIComponent")
def encode_component(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """Encoded for a part of a URL."""
    return _url_encoded(f, arguments, _URL_COMPONENT)


@function("encodeURI")
def encode_uri(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """Encoded as a whole URL."""
    return _url_encoded(f, arguments, _URL_WHOLE)


@function("decodeURIComponent")
def decode_component(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The text behind percent signs."""
    return _decoded(f, to_text(f, argument(arguments, 0)))


@function("decodeURI")
def decode_uri(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """As decodeURIComponent, but what separates the parts of a URL stays as it is."""
    text = to_text(f, argument(arguments, 0))
    f.spend(1 + 4 * text.count("%"))
    f.text(2 * len(text))
    return _decoded(f, _SEPARATORS.sub(r"%25\1", text))


def _decoded(f: Frame, text: str) -> str:
    """The text behind percent signs."""
    f.spend(1 + (len(text) >> 4) + 8 * text.count("%"))
    f.text(len(text))
    pieces = text.split("%")
    wrong = any(len(piece) < 2 or not _is_hex(piece[:2]) for piece in pieces[1:])
    try:
        if not wrong:
            return unquote_to_bytes(text).decode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        wrong = True
    raise ExpressionError(
        "expression_range", "decodeURIComponent() got a text with a broken % in it."
    )


def _is_hex(pair: str) -> bool:
    return all(char in "0123456789abcdefABCDEF" for char in pair)


@method("base64Encode", str)
def base64_encode(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Base64 of its UTF-8 bytes."""
    f.text(len(this) * 4)
    return base64.b64encode(this.encode("utf-8", "replace")).decode()


@method("base64Decode", str)
def base64_decode(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """The UTF-8 text in Base64."""
    f.text(len(this) * 2)
    try:
        return base64.b64decode(this.encode(), validate=False).decode("utf-8", "replace")
    except (binascii.Error, UnicodeEncodeError):
        raise ExpressionError("expression_range", "base64Decode() needs Base64 text.") from None


@method("urlEncode", str)
def url_encode(f: Frame, this: Value, _arguments: Arguments) -> Value:
    """Encoded for a part of a URL."""
    f.spend(len(this) if not this.isascii() else len(this) >> 2)
    f.text(len(this) * 3)
    return quote(this.encode("utf-8", "replace"), safe="!*'()")
