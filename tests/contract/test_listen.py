# SPDX-License-Identifier: Apache-2.0
"""Listening sockets: what can be bound, and what is said about what cannot."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

import pytest

from remsim.config import HostPort
from remsim.core.errors import StartError
from remsim.net.accept import listen as listen_module
from remsim.net.accept.listen import Listener, bind, listen
from remsim.net.runtime.tasks import TaskOwner
from tests.doubles.link_world import dialled_raw


@asynccontextmanager
async def listening(address: HostPort, factory: Callable[[], asyncio.Protocol]) -> AsyncIterator[Listener]:
    """A listener that is closed in the end. Raises StartError."""
    failure: StartError | None = None
    async with TaskOwner("test") as tasks:
        try:
            listener = await listen(address, factory, tasks=tasks)
        except StartError as error:
            failure = error
        else:
            yield listener
            await listener.close()
        tasks.cancel()
    if failure is not None:
        raise failure


def close_all(sockets: list[socket.socket]) -> None:
    """Close sockets that were only bound."""
    for sock in sockets:
        sock.close()


async def test_port_0_becomes_a_real_port() -> None:
    async with listening(HostPort("127.0.0.1", 0), asyncio.Protocol) as listener:
        assert listener.port > 0
        assert listener.addresses == [HostPort("127.0.0.1", listener.port)]
        async with dialled_raw("127.0.0.1", listener.port):
            pass
    with pytest.raises(ConnectionRefusedError):
        async with dialled_raw("127.0.0.1", listener.port):
            pass


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", ""])
async def test_accepted_connection_does_not_wait_with_small_writes(host: str) -> None:
    accepted = asyncio.get_running_loop().create_future()

    class Noting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            sock = transport.get_extra_info("socket")
            accepted.set_result(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    async with (
        listening(HostPort(host, 0), Noting) as listener,
        dialled_raw(host or "127.0.0.1", listener.port),
    ):
        assert await accepted


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", ""])
async def test_port_in_use_is_a_start_error_with_a_hint(host: str) -> None:
    async with listening(HostPort(host, 0), asyncio.Protocol) as listener:
        with pytest.raises(StartError, match=f"{listener.port} is in use") as caught:
            async with listening(HostPort(host, listener.port), asyncio.Protocol):
                pass
        assert "choose another port" in caught.value.hint


async def test_listener_for_every_address_is_named_so() -> None:
    async with listening(HostPort("", 0), asyncio.Protocol) as listener:
        assert listener.addresses == [HostPort("", listener.port)]


async def test_listener_for_one_ipv6_address_leaves_ipv4_alone() -> None:
    (six,) = bind(HostPort("::", 0))
    port: int = six.getsockname()[1]
    with closing(six):
        close_all(bind(HostPort("0.0.0.0", port)))


def test_machine_without_ipv6_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    (sock,) = bind(HostPort("", 0))
    with closing(sock):
        assert sock.family is socket.AF_INET


def resolves_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name stand for these addresses."""

    def answer(_host: str, port: int, **_: object) -> list[object]:
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_name_with_several_addresses_has_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves_to(monkeypatch, "127.0.0.1", "::1", "127.0.0.1")
    sockets = bind(HostPort("localhost", 0))
    ports = [sock.getsockname()[1] for sock in sockets]
    close_all(sockets)
    assert len(ports) == 2
    assert ports[0] == ports[1]


def test_name_of_which_one_address_cannot_be_bound_binds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves_to(monkeypatch, "127.0.0.1", "192.0.2.1")
    with pytest.raises(StartError, match="is no address of this machine"):
        bind(HostPort("localhost", 0))


def test_address_of_another_machine_is_a_start_error() -> None:
    with pytest.raises(StartError, match=r"192\.0\.2\.1 is no address of this machine") as caught:
        bind(HostPort("192.0.2.1", 0))
    assert "ip address" in caught.value.hint


def test_name_that_does_not_resolve_is_a_start_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(StartError, match=r"cannot listen on nowhere:9998: .*not known") as caught:
        bind(HostPort("nowhere", 9998))
    assert "HOST:PORT" in caught.value.hint


def test_name_that_is_none_is_a_start_error() -> None:
    with pytest.raises(StartError, match="cannot listen on"):
        bind(HostPort("a" * 70 + ".example", 9998))


def test_port_that_needs_root_is_a_start_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(listen_module, "_bind_one", refuse)
    with pytest.raises(StartError, match=r"no permission to listen on 127\.0\.0\.1:80") as caught:
        bind(HostPort("127.0.0.1", 80))
    assert "above 1023" in caught.value.hint


async def test_port_that_is_taken_between_binding_and_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    (challenger,) = bind(HostPort("127.0.0.1", 0))
    port: int = challenger.getsockname()[1]
    (free,) = bind(HostPort("::1", 0))
    (ours,) = bind(HostPort("127.0.0.1", port))
    with closing(challenger):
        challenger.listen()
        monkeypatch.setattr(listen_module, "bind", lambda _address: [free, ours])
        with pytest.raises(StartError, match=f"{port} is in use"):
            async with listening(HostPort("127.0.0.1", port), asyncio.Protocol):
                pass
    assert (free.fileno(), ours.fileno()) == (-1, -1)
