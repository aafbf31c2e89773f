# SPDX-License-Identifier: Apache-2.0
"""Links that are dialled, over real sockets on loopback."""

import asyncio
from collections.abc import Callable

import pytest

from remsim.net.connections import ConnectionManager, DialledLink
from remsim.wire import ccm
from remsim.wire.link.actions import Accepted, LinkId
from remsim.wire.link.dialing import TCP_TIMEOUT_S, Backoff, DialState
from remsim.wire.messages.rspro import ComponentType
from tests.doubles.link_world import RawListener, factory, world
from tests.doubles.tls_world import Run

#: No waiting between attempts; how the delays grow is shown by the tests of the dialler.
AT_ONCE = Backoff(first_s=0.0, most_s=0.0)
#: Waits longer than any test.
NEVER = Backoff(first_s=1000.0, most_s=1000.0)


def dial(manager: ConnectionManager, *, backoff: Backoff = AT_ONCE) -> DialledLink:
    """A dialled link to a server."""
    make = factory(ComponentType.REMSIM_CLIENT, ComponentType.REMSIM_SERVER)
    return manager.dial(make, name="server", backoff=backoff)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until ``condition`` holds; the test's time limit ends it."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
        await asyncio.sleep(0)


async def test_link_comes_up_and_goes_into_service() -> None:
    with RawListener() as there:
        there.listen()
        async with world() as (manager, program):
            dialled = dial(manager)
            states = [dialled.state]
            dialled.want("127.0.0.1", there.port)
            assert [*states, dialled.state] == [DialState.DISCONNECTED, DialState.CONNECTING]
            assert dialled.target == ("127.0.0.1", there.port)
            peer = await there.accept()
            link, address = await program.ups.get()
            assert (dialled.state, dialled.link) == (DialState.ESTABLISHED, link)
            assert address.port == there.port
            manager.execute(Accepted(link))
            manager.execute(Accepted(link))
            assert dialled.state is DialState.CONNECTED
            assert await peer.read(4) == ccm.PING


async def test_lost_link_is_dialled_again() -> None:
    with RawListener() as there:
        there.listen()
        async with world() as (manager, program):
            dialled = dial(manager)
            dialled.want("127.0.0.1", there.port)
            for _ in range(4):
                peer = await there.accept()
                link, _ = await program.ups.get()
                manager.execute(Accepted(link))
                assert await peer.read(4) == ccm.PING  # closing with unread bytes would be a reset
                peer.sock.close()
                assert await program.ends.get() == (link, "closed by the peer before it said anything")
            assert dialled.state is not DialState.DISCONNECTED


async def test_refused_connection_is_tried_until_somebody_listens() -> None:
    with RawListener() as there:
        async with world() as (manager, program):
            dialled = dial(manager)
            dialled.want("127.0.0.1", there.port)
            await until(lambda: dialled._schedule.failures >= 3)
            there.listen()
            await there.accept()
            link, _ = await program.ups.get()
            manager.execute(Accepted(link))
            assert dialled.state is DialState.CONNECTED


async def test_second_repetition_waits_for_its_delay() -> None:
    with RawListener() as there:
        async with world() as (manager, _):
            dialled = dial(manager, backoff=NEVER)
            dialled.want("127.0.0.1", there.port)
            await until(lambda: dialled._schedule.failures == 2)
            assert dialled.state is DialState.BACKOFF
            due = dialled._schedule.next_deadline()
            assert due is not None
            assert 490.0 < due - manager.now() <= 1000.0


@pytest.mark.parametrize("host", ["255.255.255.255", "::ffff:255.255.255.255"])
async def test_unreachable_host_is_a_failed_attempt_like_any_other(host: str) -> None:
    # known-limits.md 7: classic programs exit.
    async with world() as (manager, program):
        dialled = dial(manager)
        dialled.want(host, 9998)
        await until(lambda: dialled._schedule.failures >= 3)
        assert program.ups.empty()


@pytest.mark.parametrize("error", [OSError("Name or service not known"), UnicodeError("label too long")])
async def test_name_that_does_not_resolve_is_a_failed_attempt(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", fail)
    async with world() as (manager, _):
        dialled = dial(manager, backoff=NEVER)
        dialled.want("no-such-host.invalid", 9998)
        await until(lambda: dialled._schedule.failures == 2)
        assert dialled.state is DialState.BACKOFF


async def test_attempt_without_an_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        try:
            await asyncio.Future()
        finally:
            cancelled.set()

    async with world() as (manager, _):
        dialled = dial(manager, backoff=NEVER)
        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", hang)
        dialled.want("192.0.2.1", 9998)
        await asyncio.sleep(0)
        later = manager.now() + TCP_TIMEOUT_S
        monkeypatch.setattr(manager, "now", lambda: later)
        dialled._on_alarm()
        await cancelled.wait()
        assert dialled.state is DialState.BACKOFF


async def test_another_target_replaces_the_link() -> None:
    with RawListener() as first, RawListener() as second:
        first.listen()
        second.listen()
        async with world() as (manager, program):
            dialled = dial(manager)
            dialled.want("127.0.0.1", first.port)
            peer = await first.accept()
            old, _ = await program.ups.get()
            manager.execute(Accepted(old))
            dialled.want("127.0.0.1", second.port)
            await second.accept()
            new, address = await program.ups.get()
            assert address.port == second.port
            assert await program.ends.get() == (old, "another target")
            assert await peer.read_to_end() == ccm.PING
            assert (dialled.state, dialled.link) == (DialState.ESTABLISHED, new)


async def test_target_that_changes_before_the_attempt_started_leaves_one_link() -> None:
    with RawListener() as first, RawListener() as second:
        first.listen()
        second.listen()
        async with world() as (manager, program):
            dialled = dial(manager)
            dialled.want("127.0.0.1", first.port)
            dialled.want("127.0.0.1", second.port)
            await second.accept()
            _, address = await program.ups.get()
            assert address.port == second.port
            assert len(manager) == 1


async def test_unwanted_link_is_closed_and_not_dialled_again() -> None:
    with RawListener() as there:
        there.listen()
        async with world() as (manager, program):
            dialled = dial(manager)
            dialled.want("127.0.0.1", there.port)
            peer = await there.accept()
            link, _ = await program.ups.get()
            dialled.unwant()
            assert await program.ends.get() == (link, "not wanted any more")
            assert await peer.read_to_end() == ccm.PING
            assert (dialled.state, dialled.link, dialled.target) == (DialState.DISCONNECTED, None, None)


async def test_program_may_change_the_target_when_it_hears_of_the_loss() -> None:
    with RawListener() as first, RawListener() as second:
        first.listen()
        second.listen()
        async with world() as (manager, program):
            dialled = dial(manager, backoff=NEVER)

            def change(_link: LinkId) -> None:
                program.when_lost = lambda _link: None
                dialled.want("127.0.0.1", second.port)

            program.when_lost = change
            dialled.want("127.0.0.1", first.port)
            peer = await first.accept()
            await program.ups.get()
            peer.sock.close()
            await second.accept()
            _, address = await program.ups.get()
            assert address.port == second.port
            assert dialled._schedule.failures == 0


async def test_connection_of_an_abandoned_attempt_is_closed_unannounced(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    really_connect = loop.create_connection
    factories: list[Callable[[], asyncio.Protocol]] = []

    async def hang(make: Callable[[], asyncio.Protocol], *_: object) -> None:
        factories.append(make)
        await asyncio.Future()

    with RawListener() as there:
        there.listen()
        async with world() as (manager, program):
            dialled = dial(manager)
            monkeypatch.setattr(loop, "create_connection", hang)
            dialled.want("192.0.2.1", 1)
            await until(lambda: len(factories) == 1)
            dialled.want("192.0.2.2", 2)
            await until(lambda: len(factories) == 2)
            # The first attempt succeeds after all, although another one runs.
            await really_connect(factories[0], "127.0.0.1", there.port)
            peer = await there.accept()
            assert await peer.read_to_end() == ccm.PING
            assert program.ups.empty()
            assert dialled.state is DialState.CONNECTING
            await really_connect(factories[1], "127.0.0.1", there.port)
            link, _ = await program.ups.get()
            assert dialled.link == link
            await until(lambda: len(manager) == 1)
            assert program.ends.empty()


async def test_nothing_is_dialled_when_the_owner_of_tasks_is_closing() -> None:
    async with world() as (manager, program):
        dialled = dial(manager)
        manager._tasks.cancel()
        dialled.want("127.0.0.1", 1)
        await asyncio.sleep(0)
        assert dialled.state is DialState.CONNECTING
        assert program.ups.empty()


async def test_end_of_the_program_hangs_up() -> None:
    with RawListener() as there:
        there.listen()
        async with world() as (manager, program):
            dialled = dial(manager)
            dialled.want("127.0.0.1", there.port)
            peer = await there.accept()
            link, _ = await program.ups.get()
            await manager.close()
            assert await program.ends.get() == (link, "not wanted any more")
            assert await peer.read_to_end() == ccm.PING
            assert dialled.state is DialState.DISCONNECTED


def test_attempt_that_is_abandoned_at_any_moment_leaves_no_link_behind(run: Run) -> None:
    """uvloop does not tell of the end of a connection that came up while its attempt was being cancelled."""

    async def abandon() -> None:
        with RawListener() as there:
            there.listen()
            async with world() as (manager, _):
                dialled = dial(manager)
                for turns in range(12):
                    dialled.want("127.0.0.1", there.port)
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    dialled.unwant()
                dialled.want("127.0.0.1", there.port)
                await until(lambda: dialled.state is DialState.ESTABLISHED)
                await until(lambda: len(manager) == 1)

    run(abandon())
