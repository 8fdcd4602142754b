"""Log lines in the style of several systems, each known to come from its template.

For the measures of bench/recovery_text.py: lines of one template belong together, and of their
plain words the scrubber should mask none. Everything is made here; a seed makes the same lines.
"""

import random
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

HEX = "0123456789abcdef"
LETTERS = string.ascii_letters + string.digits


def _styles(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    style = ""
    for line in text.splitlines():
        if not line or line.startswith("# "):
            continue
        if line.startswith("[") and line.endswith("]"):
            style = line[1:-1]
            found[style] = []
        else:
            found[style].append(line)
    return {name: tuple(templates) for name, templates in found.items()}


STYLES: Mapping[str, tuple[str, ...]] = _styles(
    Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
)
"""Templates of each style."""

SECRET_LOOKING = frozenset({"uuid", "hex8", "hex32", "alnum16", "alnum24", "pod", "big"})
"""Slots that are made by machines to be unique: to mask one costs nothing."""

_USERS = ("alice", "bob", "www-data", "postgres", "deploy", "jenkins", "oracle", "guest", "hadoop")
_HOSTS = ("db-primary.example.org", "worker-07.eu.example.net", "api.shop.example.com", "node12")
_PATHS = (
    "/var/log/nginx/access.log",
    "/srv/app/current/lib/orders/handler.py",
    "/index.html",
    "/api/v2/customers/list",
    "/usr/lib/jvm/java-17-openjdk/bin/java",
    "/mnt/hadoop/dfs/data/current",
    "/static/css/main.bundle.css",
    "/home/deploy/.cache/pip",
)
_INDEXES = ('"users_email_key"', '"orders_pkey"', '"payments_order_id_idx"')


Make: TypeAlias = Callable[[random.Random], str]


def _of(alphabet: str, count: int) -> Make:
    return lambda chance: "".join(chance.choices(alphabet, k=count))


def _joined(separator: str, *parts: Make) -> Make:
    return lambda chance: separator.join(part(chance) for part in parts)


def _whole(least: int, most: int) -> Make:
    return lambda chance: str(chance.randint(least, most))


SLOTS: Mapping[str, Make] = {
    "n": lambda chance: str(chance.randrange(10 ** chance.randint(1, 6))),
    "big": lambda chance: str(chance.choice((1, -1)) * chance.randrange(10**17, 10**19)),
    "ip": lambda chance: ".".join(str(chance.randrange(1, 255)) for _ in range(4)),
    "port": lambda chance: str(chance.randrange(1_024, 65_536)),
    "user": lambda chance: chance.choice(_USERS),
    "host": lambda chance: chance.choice(_HOSTS),
    "path": lambda chance: chance.choice(_PATHS),
    "index": lambda chance: chance.choice(_INDEXES),
    "status": lambda chance: chance.choice(("200", "301", "404", "500", "503")),
    "apache": lambda chance: f"{chance.randint(10, 28)}/Oct/2026:13:55:36 +0000",
    "uuid": lambda chance: "-".join(_of(HEX, n)(chance) for n in (8, 4, 4, 4, 12)),
    "hex8": _of(HEX, 8),
    "hex32": _of(HEX, 32),
    "alnum16": _of(LETTERS, 16),
    "alnum24": _of(LETTERS, 24),
    "pod": _joined("-", lambda chance: "api", _of(HEX, 9), _of("bcdfghjklmnpqrstvwxz2456789", 5)),
    "version": _joined(".", _whole(0, 9), _whole(0, 30), _whole(0, 9)),
    "ms": lambda chance: f"{chance.uniform(0.1, 9_000):.3f}",
    "pct": lambda chance: f"{chance.uniform(0.1, 99):.1f}",
    "size": lambda chance: f"{chance.uniform(0.5, 600):.1f}",
    "uptime": lambda chance: f"{chance.uniform(1, 10**6):.6f}",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line, the template that it was made of, and those of its words that are plain."""

    text: str
    template: str
    plain: tuple[str, ...]


def lines(style: str, count: int, seed: int) -> Iterator[Line]:
    """Return so many lines of a style; templates are as unevenly frequent as in real logs."""
    chance = random.Random(f"{style}/{seed}")
    templates = STYLES[style]
    weights = [1.0 / (rank + 1) for rank in range(len(templates))]
    for template in chance.choices(templates, weights=weights, k=count):
        yield _line(template, chance)


def _line(template: str, chance: random.Random) -> Line:
    words: list[str] = []
    plain: list[str] = []
    for word in template.split(" "):
        slots = [name for name in SLOTS if f"{{{name}}}" in word]
        made = word
        for name in slots:
            while f"{{{name}}}" in made:
                made = made.replace(f"{{{name}}}", SLOTS[name](chance), 1)
        words.append(made)
        if not SECRET_LOOKING.intersection(slots):
            plain.extend(made.split(" "))
    return Line(" ".join(words), template, tuple(word for word in plain if word))
