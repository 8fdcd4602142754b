"""`python -m perdure_common.embedded fetch|up|down|status`: the servers without the rest."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from perdure_common.embedded import Embedded, EmbeddedError
from perdure_common.embedded.jars import fetch
from perdure_common.embedded.keeper import main as keep

_USAGE = "usage: python -m perdure_common.embedded fetch | up ROOT | down ROOT | status ROOT"


def main(arguments: list[str]) -> int:
    """Run one command; 0 only when what was asked for happened."""
    try:
        match arguments:
            case ["keep", *rest]:
                return keep(rest)
            case ["fetch"]:
                fetch()
                _make_archive()
            case ["up", root]:
                print(json.dumps(asdict(Embedded(Path(root)).start(detach=True))))
            case ["down", root]:
                Embedded(Path(root)).stop()
            case ["status", root]:
                print(json.dumps(asdict(Embedded(Path(root)).status()), indent=1))
            case _:
                print(_USAGE, file=sys.stderr)
                return 2
    except EmbeddedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _make_archive() -> None:
    """Make Java's cache of Kafka's classes; without it everything works, more slowly at first."""
    # Here and not above: the keeper, which this module starts too, needs none of it.
    from perdure_common.embedded import archive

    try:
        archive.make()
    except EmbeddedError as error:
        print(error, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
