"""Hot modules run compiled where they were compiled, and from their source where they were not."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from perdure_common import native, native_build

TEXT = '''
"""A module to compile."""
from dataclasses import dataclass
import msgspec

class Point(msgspec.Struct, frozen=True):
    x: int
    y: int = 2

@dataclass(frozen=True)
class Named:
    name: str

def told(value: object) -> str:
    match value:
        case Point(x=1):
            return "one"
        case Named(name):
            return name
        case int():
            return "whole"
    raise ValueError(value)

async def later(value: int) -> int:
    return value + 1
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of its own with one module, `hot`, and a cache of its own."""
    folder = tmp_path / "warm"
    folder.mkdir()
    folder.joinpath("__init__.py").write_text(
        "from pathlib import Path\nfrom perdure_common import native\n"
        "native.use(__name__, Path(__file__).parent, ('ho*',))\n"
    )
    folder.joinpath("hot.py").write_text(TEXT)
    monkeypatch.setenv("PERDURE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield folder
    for name in [*native.hot(), *sys.modules]:
        if name.split(".")[0] == "warm":
            native.forget(name)
            sys.modules.pop(name, None)


def loader(folder: Path, native: str = "on") -> str:
    """Return who loads the module in a process of its own, after all of it was used."""
    code = (
        "import asyncio, warm.hot as h\n"
        "assert h.told(h.Point(1)) == 'one' and h.told(h.Named('a')) == 'a' and h.told(3)\n"
        "assert asyncio.run(h.later(1)) == 2 and h.__file__.endswith('hot.py')\n"
        "try: h.told(None)\n"
        "except ValueError: print(type(h.__loader__).__name__)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(folder.parent), "PERDURE_NATIVE": native}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_module_that_was_not_compiled_runs_from_its_source(package: Path) -> None:
    assert loader(package) == "SourceFileLoader"


def test_a_compiled_module_does_the_same_until_its_source_changes(package: Path) -> None:
    if native_build.compiler() is None:
        with pytest.raises(native_build.NativeError, match="no C compiler"):
            native_build.build(["warm"])
        return
    assert native_build.build(["warm"])[0] == 1
    assert loader(package) == "_Loader"
    assert loader(package, native="off") == "SourceFileLoader"
    assert native_build.build(["warm"])[0] == 0  # nothing is compiled twice
    source = package / "hot.py"
    source.write_text(source.read_text() + "\n# changed\n")
    assert loader(package) == "SourceFileLoader"


def test_without_a_compiler_nothing_is_missing(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert native_build.main() == 0
    assert "runs from its sources" in capsys.readouterr().err
    assert loader(package) == "SourceFileLoader"


def test_what_cannot_be_compiled_is_told_and_leaves_nothing(package: Path) -> None:
    package.joinpath("hot.py").write_text("def broken(:\n")
    with pytest.raises(native_build.NativeError):
        native_build.build(["warm"])
    assert not list((package.parent / "cache").rglob("*.so"))


def test_every_hot_module_is_there() -> None:
    for package in native_build.PACKAGES:
        __import__(package)
    assert len(native.hot()) > 30
    assert all(source.exists() for source in native.hot().values())
