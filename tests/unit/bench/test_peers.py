"""The comparison measures all systems alike, pins what it installs, and pretends nothing."""

import asyncio
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench import peers
from bench.peer_apps import installing, restate_load, subjects
from bench.peer_apps.driving import Order, measure

ROOT = Path(__file__).parents[3]
APPS = ROOT / "bench" / "peer_apps"


def order(kind: str, **more: float) -> Order:
    begin = time.monotonic() + 0.05
    fields = {"steps": 3, "begin": begin, "end": begin + 0.2, "most": 4, "per_s": 100.0, **more}
    return Order(kind, **fields)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", ["saturate", "alone"])
async def test_executions_count_that_end_in_the_window(kind: str) -> None:
    ends: list[float] = []
    under_way: set[object] = set()
    most = 0

    async def one(steps: int) -> None:
        nonlocal most
        mark = object()
        under_way.add(mark)
        most = max(most, len(under_way))
        await asyncio.sleep(0.003 * steps)
        under_way.remove(mark)
        ends.append(time.monotonic())

    asked = order(kind)
    seen = await measure(one, asked)
    clear = [t for t in ends if asked.begin + 0.002 < t < asked.end - 0.002]
    near = [t for t in ends if asked.begin - 0.002 < t < asked.end + 0.002]
    assert len(clear) <= seen.ended <= len(near)
    assert most == (1 if kind == "alone" else 4)
    assert seen.latencies_ms is not None and len(seen.latencies_ms) == seen.ended
    assert not under_way


async def test_a_paced_load_counts_from_when_it_was_due_and_waits_for_nobody() -> None:
    begun = 0
    gate = asyncio.Event()

    async def one(steps: int) -> None:
        nonlocal begun
        begun += 1
        if begun == 25:  # nothing ends before the whole load was started
            gate.set()
        await gate.wait()

    seen = await measure(one, order("paced", per_s=100.0))
    assert begun >= 25
    assert seen.ended in (19, 20, 21)
    assert seen.latencies_ms is not None
    assert max(seen.latencies_ms) > 100  # the first waited, though it was started in time


async def test_an_execution_that_fails_is_told_and_not_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def one(steps: int) -> None:
        raise ValueError("no")

    seen = await measure(one, order("alone"))
    assert seen.ended == 0 and seen.failed > 0
    assert "ValueError('no')" in capsys.readouterr().err


def test_a_generator_answers_each_order() -> None:
    program = (
        "import asyncio\nfrom bench.peer_apps.driving import serve\n"
        "async def one(steps): await asyncio.sleep(0.001)\nasyncio.run(serve(one))"
    )
    now = time.monotonic()
    orders = [
        {"kind": kind, "steps": 1, "begin": now, "end": now + 5, "most": 2, "per_s": 50.0}
        for kind in ("alone", "saturate", "paced")
    ]
    with subjects.process(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as child:
        assert subjects.hear(child) == {"ready": True}
        for each in orders:
            each["end"] = time.monotonic() + 0.2
            subjects.tell(child, each)
            answer = subjects.hear(child)
            assert answer["ended"] == len(answer["latencies_ms"]) > 0
        assert child.stdin is not None
        child.stdin.close()
        with pytest.raises(RuntimeError, match="ended with code 0"):
            subjects.hear(child)


def test_a_program_is_ended_with_its_children() -> None:
    program = (
        "import subprocess, sys, time\n"
        "sleeper = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        " print(1, flush=True); time.sleep(600)'\n"
        "child = subprocess.Popen([sys.executable, '-c', sleeper], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True)\ntime.sleep(600)"
    )
    command = [sys.executable, "-c", program]
    with subjects.process(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        grandchild = psutil.Process(int(child.stdout.readline()))
        assert grandchild.is_running()
    assert child.returncode is not None
    gone, alive = psutil.wait_procs([grandchild], timeout=10)
    assert gone and not alive


async def test_the_http_client_reads_answers_in_pieces_and_keeps_the_connection() -> None:
    asked: list[bytes] = []
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = re.search(rb"content-length: (\d+)", head)
            assert length is not None
            asked.append(await reader.readexactly(int(length[1])))
            for piece in (b"HTTP/1.1 200 OK\r\nContent-", b"Length: 4\r\n\r\n12", b"34"):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.005)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = restate_load.Client("127.0.0.1", server.sockets[0].getsockname()[1])
    await client.one(3)
    await client.one(10)
    await asyncio.gather(client.one(3), client.one(3))
    assert [json.loads(body)["steps"] for body in asked] == [3, 10, 3, 3]
    assert 350 < len(asked[0]) < 450
    assert opened == 2
    client.close()
    server.close()
    await asyncio.sleep(0.05)  # both ends of the connections go


async def test_the_http_client_refuses_an_answer_that_is_no_success() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nlater")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = restate_load.Client("127.0.0.1", server.sockets[0].getsockname()[1])
    with pytest.raises(RuntimeError, match="503"):
        await client.one(3)
    client.close()
    server.close()
    await asyncio.sleep(0.05)


def figures(name: str, per_s: float, p50_ms: float) -> peers.Figures:
    found = peers.Figures(name, 8)
    found.saturated[3] = subjects.Saturated(per_s, {"load": 10.0, "server": 90.0})
    found.alone[3] = [p50_ms]
    return found


def test_the_ratios_are_of_the_same_steps_and_a_missing_system_has_no_key() -> None:
    ours, other = figures("a", 500, 4), figures("b", 100, 8)
    theirs = {"restate": other, "restate_tuned": other, "dbos": figures("c", 50, 10)}
    assert ours.steps_per_s(3) == 1_500
    assert (ours.cpu_us(load=True), ours.cpu_us(load=False)) == (10.0, 90.0)
    all_of_them = peers.keys(ours, theirs)
    assert all_of_them["steps_vs_restate"] == 5.0
    assert all_of_them["steps_vs_dbos"] == 10.0
    assert all_of_them["p50_vs_restate"] == 0.5
    assert set(all_of_them) == set(peers.MEANING)
    without = peers.keys(ours, {**theirs, "restate": None, "restate_tuned": None})
    assert not [key for key in without if "restate" in key]
    assert without["steps_vs_dbos"] == 10.0
    assert len(peers.row(ours)) == len(peers.COLUMNS)


def test_a_machine_without_npm_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(installing.NotInstalled, match=r"install Node\.js"):
        installing.restate_server()


@pytest.mark.parametrize("name", ["dbos", "restate"])
def test_the_peers_packages_are_pinned_by_version_and_hash_and_nothing_else(name: str) -> None:
    text = (APPS / f"requirements-{name}.txt").read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert len(blocks) > 4
    for block in blocks:
        assert re.match(r"[a-z0-9-]+==[\w.]+( ; [^\\]+)? \\\n", block), block[:60]
        assert "--hash=sha256:" in block
    assert "//" not in text
    assert installing.version_of(name, {"dbos": "dbos", "restate": "restate-sdk"}[name])


def test_the_lock_of_restates_server_has_hashes_and_no_addresses() -> None:
    lock = json.loads((APPS / "npm" / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: each for name, each in lock["packages"].items() if name}
    assert all(each["integrity"].startswith("sha512-") for each in packages.values())
    assert not any("resolved" in each for each in packages.values())
    pinned = installing.version_of("restate-server", "@restatedev/restate-server")
    assert packages["node_modules/@restatedev/restate-server"]["version"] == pinned
