"""Where outgoing requests may go: public addresses, and what the setting allows.

A name is resolved once, every address it has is judged, and the request goes to the very
address that was judged (pinned), so that a name cannot be swapped in between.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""The well-known prefix that carries an IPv4 address in its last 32 bits (RFC 6052)."""


class AddressError(Exception):
    """A host may not be asked, or does not exist. `code` is for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class AllowList:
    """Networks and `host:port` pairs that may be reached beside public addresses."""

    networks: tuple[Network, ...] = ()
    places: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def parse(cls, entries: Sequence[str]) -> "AllowList":
        """Return the list that the setting's entries describe.

        Raises:
            ValueError: An entry is neither a network nor `host:port`.
        """
        networks: list[Network] = []
        places: set[tuple[str, int]] = set()
        for entry in entries:
            host, colon, port = entry.rpartition(":")
            if colon and port.isdecimal() and "/" not in entry and host:
                places.add((host.strip("[]").lower(), int(port)))
                continue
            try:
                networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                raise ValueError(
                    f"PERDURE_HTTP_ALLOW has {entry!r}; write a network such as 10.1.0.0/16 "
                    "or host:port such as tickets.internal:8080"
                ) from None
        return cls(tuple(networks), frozenset(places))

    def allows(self, host: str, port: int, address: Address) -> bool:
        """Return whether a request for `host:port` may go to `address`."""
        if (host.lower(), port) in self.places or (str(address), port) in self.places:
            return True
        plain = unwrapped(address)
        if any(plain in network for network in self.networks if network.version == plain.version):
            return True
        return plain.is_global and not plain.is_multicast


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address inside a mapped, 6to4 or NAT64 IPv6 one, or the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return inner
        if address in NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


async def resolve(host: str, port: int, allowed: AllowList) -> str:
    """Return the address to connect to for `host`.

    All addresses of the name must be allowed: one that is not makes the name suspect.

    Raises:
        AddressError: `name_not_found`, `dns_failed`, `address_refused` or `invalid_url`.
    """
    addresses = _literal(host)
    if addresses is None:
        loop = asyncio.get_running_loop()
        with _told(host):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = _addresses(found)
    return _judged(host, port, addresses, allowed)


def resolve_here(host: str, port: int, allowed: AllowList) -> str:
    """Return what `resolve` does, waiting in the thread that asks: those of the loop are few.

    Raises:
        AddressError: See `resolve`.
    """
    addresses = _literal(host)
    if addresses is None:
        with _told(host):
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = _addresses(found)
    return _judged(host, port, addresses, allowed)


def _literal(host: str) -> list[Address] | None:
    try:
        return [ipaddress.ip_address(host.strip("[]"))]
    except ValueError:
        return None


def _judged(host: str, port: int, addresses: list[Address], allowed: AllowList) -> str:
    for address in addresses:
        if not allowed.allows(host.strip("[]"), port, address):
            raise AddressError(
                "address_refused",
                f"{host} is at {address}, which is no public address; "
                f"to allow it, add {host}:{port} to PERDURE_HTTP_ALLOW",
            )
    return str(addresses[0])


@contextmanager
def _told(host: str) -> Generator[None]:
    """Tell why a name is not resolved."""
    try:
        yield
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            text = f"the name {host} could not be resolved just now"
            raise AddressError("dns_failed", text) from error
        raise AddressError("name_not_found", f"there is no host {host}") from error
    except UnicodeError as error:
        raise AddressError("invalid_url", f"{host!r} is no host name: {error}") from error


def _addresses(found: Iterable[Any]) -> list[Address]:
    return [ipaddress.ip_address(entry[4][0]) for entry in found]
