"""Reading values of a definition: each wrong one is a problem with its place."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from .problems import Found, listed, shown


@dataclass(frozen=True)
class Reader:
    """One object of a definition, being read; `path` leads to it.

    Each method returns the value, or the default where it is missing or wrong; a wrong one
    is noted in `found`. YAML's null counts as missing.
    """

    values: Mapping[str, Any]
    path: str
    found: Found
    node_id: str | None = None

    def below(self, key: str) -> str:
        """Return the path of a key of this object."""
        return f"{self.path}.{key}" if self.path else key

    def error(self, code: str, key: str, message: str) -> None:
        """Note an error at one of the keys."""
        self.found.error(code, self.below(key), message, self.node_id)

    def known(self, keys: Sequence[str]) -> None:
        """Refuse every key that is not among `keys`, with the nearest that is."""
        for key in self.values:
            if key not in keys:
                self.error(
                    "unknown_key", str(key), f"no such key; {self.found.did_you_mean(key, keys)}"
                )

    def text(
        self, key: str, default: str | None = None, *, required: bool = False, most: int = 255
    ) -> str | None:
        """Return a text of at most `most` characters; a required one may not be empty."""
        value = self.values.get(key)
        if value is None and not required:
            return default
        if value is None:
            self.error("missing_key", key, f"`{key}` is missing; set it to a text")
        elif not isinstance(value, str):
            self.error("invalid_type", key, f"{shown(value)} must be a text; put it in quotes")
        elif required and not value.strip():
            self.error("empty_text", key, f"`{key}` is empty; set it to a text")
        elif len(value) > most:
            self.error(
                "text_too_long", key, f"has {len(value):,} characters; at most {most:,} are allowed"
            )
        else:
            return value
        return default

    def boolean(self, key: str, default: bool) -> bool:
        """Return `true` or `false`."""
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        self.error("invalid_type", key, f"{shown(value)} must be true or false")
        return default

    def integer(self, key: str, default: int, *, least: int, most: int = 2**31 - 1) -> int:
        """Return a whole number between `least` and `most`."""
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            self.error("invalid_type", key, f"{shown(value)} must be a whole number")
        elif not least <= value <= most:
            self.error("out_of_range", key, f"{value} must be from {least} to {most}")
        else:
            return value
        return default

    def number(
        self, key: str, default: float | None, *, least: float = -1e15, most: float = 1e15
    ) -> float | None:
        """Return a number between `least` and `most`."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
            self.error("invalid_type", key, f"{shown(value)} must be a number")
        elif not least <= value <= most:
            self.error("out_of_range", key, f"{value:g} must be from {least:g} to {most:g}")
        else:
            return float(value)
        return default

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """Return one of `choices`."""
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, str) and value in choices:
            return value
        self.error("invalid_value", key, f"{shown(value)} is none of {listed(choices)}")
        return default

    def mapping(self, key: str) -> Mapping[str, Any] | None:
        """Return an object, None where it is missing."""
        value = self.values.get(key)
        if value is None or isinstance(value, dict):
            return cast("dict[str, Any] | None", value)
        self.error("invalid_type", key, f"{shown(value)} must be an object")
        return None

    def entries(self, key: str) -> list[Any]:
        """Return a list; an empty one where it is missing."""
        value = self.values.get(key)
        if value is None:
            return []
        if isinstance(value, list):
            return cast("list[Any]", value)
        self.error("invalid_type", key, f"{shown(value)} must be a list")
        return []

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        values = self.entries(key)
        for at, value in enumerate(values):
            if not isinstance(value, str) or len(value) > 255:
                self.error(
                    "invalid_type", f"{key}[{at}]", "must be a text of at most 255 characters"
                )
                return ()
        return tuple(values)
