"""A real IMAP server (pymap) in a process of its own, and one that accepts and says nothing."""

import contextlib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from imapclient import IMAPClient

USER, PASSWORD = "orders", "a secret of the mailbox"
START_S = 20.0


@dataclass
class MailServer:
    """Where the server is; mails are put into its mailbox as a mail server would."""

    host: str
    port: int
    process: "subprocess.Popen[bytes]"
    certificate: Path | None = None

    def append(self, *mails: bytes) -> None:
        """Put mails into the mailbox."""
        with self._client() as client:
            for raw in mails:
                client.append("INBOX", raw)

    def _client(self) -> IMAPClient:
        client = IMAPClient(self.host, port=self.port, ssl=False, timeout=10.0)
        if self.certificate is not None:
            client.starttls(ssl.create_default_context(cafile=self.certificate))
        client.login(USER, PASSWORD)
        return client

    def answers(self) -> bool:
        """Tell whether the server lets its user in."""
        try:
            with self._client() as client:
                client.select_folder("INBOX")
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def mail_server(certificate: Path | None = None) -> Generator[MailServer]:
    """Run a mail server with one user; with a certificate (and its key) it knows STARTTLS."""
    port = free_port()
    tls = ["--cert", str(certificate), "--key", str(certificate)] if certificate else ["--no-tls"]
    process = subprocess.Popen(
        [
            sys.executable, "-c", "from pymap.main import main; main()",
            "--host", "127.0.0.1", "--port", str(port), *tls,
            "--no-service", "admin", "--no-service", "managesieve",
            "dict", "--demo-user", USER, "--demo-password", PASSWORD,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    server = MailServer("localhost" if certificate else "127.0.0.1", port, process, certificate)
    try:
        deadline = time.monotonic() + START_S
        while not server.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                assert process.stderr is not None
                told = process.stderr.read().decode()[-2000:]
                raise RuntimeError(f"the mail server did not start: {told}")
            time.sleep(0.1)
        yield server
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


@contextlib.contextmanager
def silent_server() -> Generator[int]:
    """Run a server that takes connections and never says a word; give its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield int(listening.getsockname()[1])
