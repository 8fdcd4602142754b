"""Hot modules as machine code, where they were compiled ahead of time (ADR 0035).

A package names its hot modules once (`use`). `python -m perdure_common.native_build` compiles them
where a C compiler is, into the user's cache, each under a hash of its source, of the interpreter
and of how it is compiled. What is not there, or was changed since, runs from its source: the two do
the same, and a compiled module that is out of date is never taken.
"""

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from perdure_common.cache import cache_dir

COMPILER = "Cython 3.3.1"
"""What compiles; another version makes other files."""

OPTIONS = ("-3", "-X", "annotation_typing=False", "-X", "emit_code_comments=False")
"""As Python means it: an annotation is no C type."""

C_FLAGS = (
    *("-O3", "-DNDEBUG", "-fwrapv", "-fno-plt"),
    *("-fPIC", "-shared", "-fno-strict-aliasing", "-w"),
)
"""`-fno-plt` calls the interpreter's functions, of which all this makes very many calls, without a
detour; `-O1` takes two thirds of the time to compile, and the core a fifth longer (ADR 0107)."""

_MADE_BY = "\0".join((COMPILER, *OPTIONS, *C_FLAGS, sys.version, ""))
_SUFFIX = EXTENSION_SUFFIXES[0]


class _Loader(ExtensionFileLoader):
    """Loads a compiled module; its `__file__` is the source: what lies beside it is found by it."""

    def __init__(self, name: str, library: Path, source: Path) -> None:
        super().__init__(name, str(library))
        self._source = source

    def exec_module(self, module: ModuleType) -> None:
        """Initialize the module."""
        module.__file__ = str(self._source)
        super().exec_module(module)


class Finder:
    """Finds hot modules among the compiled ones; it stands first in `sys.meta_path`."""

    def __init__(self) -> None:
        self.sources: dict[str, Path] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`; None leaves the module to the next finder."""
        source = self.sources.get(name)
        if source is None:
            return None
        library = library_of(source)
        if not library.exists():
            return None
        return spec_from_file_location(name, library, loader=_Loader(name, library, source))


_finder = Finder()


def use(package: str, folder: Path, modules: Iterable[str]) -> None:
    """Take modules of a package from the compiled ones from now on.

    Args:
        package: Its full name.
        folder: Where its source is.
        modules: Names in it: `shell.fold`, or `executions.*` for all modules of a folder.

    `PERDURE_NATIVE=off` runs everything from source; profilers and debuggers see more then.
    """
    _finder.sources.update(_named(package, folder, modules))
    if os.environ.get("PERDURE_NATIVE") != "off" and _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def _named(package: str, folder: Path, modules: Iterable[str]) -> Iterator[tuple[str, Path]]:
    for module in modules:
        for source in sorted(folder.glob(module.replace(".", "/") + ".py")):
            if source.stem != "__init__":
                inside = source.relative_to(folder).with_suffix("")
                yield ".".join((package, *inside.parts)), source


def forget(name: str) -> None:
    """Take a module from its source again, once it is imported anew."""
    _finder.sources.pop(name, None)


def hot() -> dict[str, Path]:
    """Return the hot modules of the packages that were imported, and their sources."""
    return dict(_finder.sources)


def library_of(source: Path) -> Path:
    """Return where the compiled module of a source lies, if it was made."""
    key = hashlib.sha256(_MADE_BY.encode() + source.read_bytes())
    return cache_dir() / "native" / key.hexdigest()[:32] / (source.stem + _SUFFIX)


def in_use() -> int:
    """Return how many modules of this process run as machine code."""
    modules = (sys.modules.get(name) for name in _finder.sources)
    loaders = (getattr(module, "__loader__", None) for module in modules)
    return sum(isinstance(loader, _Loader) for loader in loaders)
