"""Kafka's jars are exactly the pinned ones, whatever happened to the download."""

import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from perdure_common.embedded import EmbeddedError
from perdure_common.embedded.jars import Jar, class_path, fetch, locked, missing


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven mirror on this machine, which has every jar; its folder."""
    real = fetch()
    folder = tmp_path / "mirror"
    for jar in locked():
        path = jar.path(folder)
        path.parent.mkdir(parents=True)
        path.symlink_to(jar.path(real))
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        monkeypatch.setenv("PERDURE_MAVEN_REPOSITORY", f"http://127.0.0.1:{server.server_port}/")
        yield folder
        server.shutdown()
        thread.join()


def _damaged(jar: Jar, cache: Path) -> Path:
    path = jar.path(cache / "maven")
    path.parent.mkdir(parents=True)
    return path


def test_a_download_that_was_cut_off_is_completed(mirror: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cut, altered, *_ = locked()
    whole = cut.path(mirror).read_bytes()
    _damaged(cut, cache).write_bytes(whole[: len(whole) // 2])
    _damaged(altered, cache).write_bytes(bytes(altered.size_bytes))
    assert {cut, altered} <= set(missing(cache))
    words = class_path(cache).split(":")
    assert missing(cache) == []
    assert [Path(word).is_file() for word in words] == [True] * len(locked())
    assert cut.path(cache / "maven").read_bytes() == whole


def test_a_jar_with_another_content_than_the_pinned_one_is_refused(
    mirror: Path, tmp_path: Path
) -> None:
    jar = locked()[-1]
    path = jar.path(mirror)
    path.unlink()
    path.write_bytes(os.urandom(jar.size_bytes))
    with pytest.raises(EmbeddedError, match=jar.artifact) as caught:
        fetch(tmp_path / "cache")
    assert caught.value.code == "jars_unavailable"
    assert "pinned" in caught.value.detail
    assert missing(tmp_path / "cache") == [jar]


def test_a_repository_that_cannot_be_reached_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_MAVEN_REPOSITORY", "http://127.0.0.1:9")
    with pytest.raises(EmbeddedError, match="make setup") as caught:
        fetch(tmp_path / "cache")
    assert caught.value.code == "jars_unavailable"
