"""Names of encodings as others give them: which of them a text may be in."""

import codecs

NO_CHARSETS = frozenset(
    {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}
)
"""What Python can decode and nobody's text is in: it takes for ever, or gives half characters."""


def charset(name: str) -> str | None:
    """Return the encoding of a name, None if there is none that texts are in."""
    try:
        b"a".decode(name, errors="replace")  # refuses what decodes no text, as `hex` does
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    return None if found in NO_CHARSETS else found
