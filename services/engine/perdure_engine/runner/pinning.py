"""Connections that go to the address that was judged, and belong to the host that was asked for.

A transport keeps connections by the host of the URL. With the address in its place hosts at one
address would share them, and a certificate that was checked for one would count for all. So the
URL keeps its host, and the address is put in where the transport connects (httpx and httpx2 alike).
"""

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any, TypeAlias

from perdure_common.outbound import Address, AddressError

Trace: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[None]]

CONNECTS = "connection.connect_tcp.started"
CONNECTED = "connection.connect_tcp.complete"


def pinned(address: str, also: Trace | None = None) -> Trace:
    """Return what a transport is to tell (its extension `trace`) to connect to an address.

    `also` hears everything too. Nothing is sent to any other address: that is an AddressError.
    """

    async def trace(event: str, info: dict[str, Any]) -> None:
        if event == CONNECTS:
            info["host"] = address
        elif event == CONNECTED:
            reached = info["return_value"].get_extra_info("server_addr")[0]
            if _plain(reached) != _plain(address):
                text = f"the transport connected to {reached}, not to {address}, which was judged"
                raise AddressError("address_refused", text)
        if also is not None:
            await also(event, info)

    return trace


def _plain(address: str) -> Address:
    """Return an address without its zone, however it is written."""
    return ip_address(address.partition("%")[0])
