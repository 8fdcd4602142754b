"""Which members of a group are gone: processes of this machine, and of this space of ids, only."""

import os
import socket
import subprocess
import sys

from perdure_common.adapters.kafka_members import is_gone, signed
from perdure_common.run import process_name


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def named(pid: int, host: str = "") -> str:
    return signed(f"engine@{host or socket.gethostname()}/{pid}")


def test_a_process_of_this_machine_that_has_ended_is_gone() -> None:
    assert is_gone(named(ended_pid()))


def test_a_process_that_lives_is_not_gone() -> None:
    assert not is_gone(signed(process_name("engine")))
    assert not is_gone(named(os.getppid()))


def test_a_process_of_another_machine_or_container_may_be_alive() -> None:
    assert not is_gone(named(ended_pid(), "elsewhere"))
    assert not is_gone(named(ended_pid()) + "1")


def test_a_client_that_signs_otherwise_may_be_alive() -> None:
    assert not is_gone("engine-1")
    assert not is_gone(f"engine@{socket.gethostname()}/{ended_pid()}")
