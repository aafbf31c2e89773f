# SPDX-License-Identifier: Apache-2.0
"""Readers over pcscd's socket, with a stand-in pcscd: each version, faults, many readers, hangs, and what is left."""

import asyncio
import gc
import os
import signal
import socket
import sys
import time
import types
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remsim.net.runtime.tasks import when_done
from remsim.readers.base import Presence
from remsim.readers.errors import (
    CardAbsentError,
    CardMuteError,
    CardTransmissionError,
    ReaderBusyError,
    ReaderError,
    ReaderUnavailableError,
)
from remsim.readers.pcsc_common import codes
from remsim.readers.pcscd import PcscdDaemon, PcscdSource, name_daemons, protocol_of
from remsim.readers.pcscd import card as card_module
from remsim.readers.pcscd import retry as retry_module
from remsim.readers.pcscd import watcher as watcher_module
from remsim.readers.pcscd.card import PcscdReader
from remsim.readers.pcscd.channel import PcscdChannel
from remsim.readers.pcscd.client import PcscdClient
from tests.doubles.null_pcscd import null_pcscd
from tests.doubles.pcscd import READER_NAMES, VPCD_PORTS, PcscdNamespace
from tests.doubles.pcscd_rig import ATR, READ, SELECT, Watched, name, started, until
from tests.doubles.scripted_pcscd import scripted_pcscd

#: ``REMSIM_OPENINGS=10000`` is the long form.
OPENINGS = int(os.environ.get("REMSIM_OPENINGS", "100"))
VERSIONS = ("4:4", "4:5", "4:6")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("split", ["0", "1"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_card_is_used_in_each_version(tmp_path: Path, version: str, split: str) -> None:
    with null_pcscd(tmp_path, env={"VERSION": version, "READERS": "3", "SPLIT": split, "DISTINCT": "1"}) as pcscd:
        async with started(pcscd.socket) as source:
            assert await source.names() == [name(number) for number in range(3)]
            reader = source.reader(name(2))
            atr = await reader.open()
            assert (len(atr), atr[19]) == (len(ATR), 2)
            for _ in range(3):
                assert await reader.transmit(READ) == b"\x00\x02\x90\x00"
                assert await reader.transmit(SELECT) == b"\x90\x00"
            assert await reader.cold_reset() == await reader.warm_reset() == atr
            await reader.close()
            with pytest.raises(ReaderUnavailableError, match="not open"):
                await reader.transmit(READ)


@pytest.mark.parametrize("split", ["0", "1"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_faults_become_errors_with_their_codes_and_heal(tmp_path: Path, version: str, split: str) -> None:
    with null_pcscd(tmp_path, env={"VERSION": version, "READERS": "1", "SPLIT": split}) as pcscd:
        async with started(pcscd.socket) as source:
            watched = Watched()
            source.watch(watched)
            reader = source.reader(name(0))
            await reader.open()
            pcscd.fault("fail", 0)
            with pytest.raises(CardTransmissionError) as failed:
                await reader.transmit(READ)
            assert failed.value.code == 0x80100016
            pcscd.mend("fail", 0)
            pcscd.fault("mute", 0)
            answers: list[object] = []
            reader.submit(READ, answers.append)
            # By the time that pcscd has answered a later request, it has seen the command.
            assert await protocol_of(pcscd.socket) == version
            assert answers == []
            pcscd.mend("mute", 0)
            await until(lambda: answers == [b"\x00\x00\x90\x00"])
            pcscd.fault("absent", 0)
            await until(lambda: watched.latest.get(name(0)) is Presence.ABSENT)
            with pytest.raises(CardAbsentError):
                await reader.transmit(READ)
            await reader.close()
            with pytest.raises(CardAbsentError):
                await reader.open()
            pcscd.mend("absent", 0)
            await until(lambda: watched.latest.get(name(0)) is Presence.PRESENT)
            assert await reader.open() == ATR
            pcscd.fault("gone", 0)
            await until(lambda: watched.latest.get(name(0)) is Presence.UNKNOWN)
            with pytest.raises(ReaderError):
                await reader.transmit(READ)
            await reader.close()
            with pytest.raises(ReaderUnavailableError, match="no such reader"):
                await reader.open()
            assert await source.names() == []
            pcscd.mend("gone", 0)
            await until(lambda: watched.latest.get(name(0)) is Presence.PRESENT)
            assert await reader.open() == ATR
            await reader.close()
            assert watched.events[-2].cause == "reader unplugged"


@pytest.mark.parametrize(
    ("version", "there", "seen"),
    [("4:4", 1, 1), ("4:4", 16, 16), ("4:5", 20, 16), ("4:6", 16, 16), ("4:6", 17, 17), ("4:6", 1024, 1024)],
)
async def test_as_many_readers_as_the_version_lists(
    tmp_path: Path, version: str, there: int, seen: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with null_pcscd(tmp_path, env={"VERSION": version, "READERS": str(there)}) as pcscd:
        async with started(pcscd.socket) as source:
            watched = Watched()
            source.watch(watched)
            await until(lambda: watched.present() == seen)
            assert await source.names() == [name(number) for number in range(seen)]
            # One that is not listed is reached by name all the same.
            reader = source.reader(name(there - 1))
            assert await reader.open() == ATR
            assert await reader.transmit(READ) == (there - 1).to_bytes(2) + b"\x90\x00"
            await reader.close()
            pcscd.fault("absent", seen - 1)
            await until(lambda: watched.latest[name(seen - 1)] is Presence.ABSENT)
    told = capsys.readouterr().err.count("pcsc_readers_at_limit")
    assert told == (1 if version != "4:6" and there >= 16 else 0)


async def test_several_daemons_have_readers_of_different_names(tmp_path: Path) -> None:
    with (
        null_pcscd(tmp_path, "one", {"READERS": "16"}) as one,
        null_pcscd(tmp_path, "two", {"READERS": "16", "VERSION": "4:6"}) as two,
    ):
        source = PcscdSource(daemons=name_daemons([(one.socket, ""), (two.socket, "rack b")]))
        await source.start()
        watched = Watched()
        source.watch(watched)
        names = await source.names()
        assert names == [f"1/{name(n)}" for n in range(16)] + [f"rack b/{name(n)}" for n in range(16)]
        await until(lambda: watched.present() == 32)
        two.fault("absent", 3)
        await until(lambda: watched.latest[f"rack b/{name(3)}"] is Presence.ABSENT)
        assert watched.latest[f"1/{name(3)}"] is Presence.PRESENT
        reader = source.reader(f"rack b/{name(4)}")
        assert await reader.open() == ATR
        with pytest.raises(ReaderError, match="rack b/"):
            await source.reader(f"rack b/{name(3)}").open()
        one.program.kill()
        await until(lambda: watched.present() == 15)
        assert await reader.transmit(READ) == b"\x00\x04\x90\x00"
        await reader.close()
        await source.stop()


def test_one_daemon_without_a_name_leaves_names_alone() -> None:
    assert name_daemons([(Path("a"), "")]) == [PcscdDaemon(Path("a"))]
    assert name_daemons([(Path("a"), "x")]) == [PcscdDaemon(Path("a"), "x/")]


async def test_command_that_hangs_is_given_up_and_hurts_only_its_reader(tmp_path: Path) -> None:
    with null_pcscd(tmp_path, env={"READERS": "2"}) as pcscd:
        async with started(pcscd.socket) as source:
            mute, other = source.reader(name(0)), source.reader(name(1))
            await mute.open()
            await other.open()
            pcscd.fault("mute", 0)
            mute._deadline_s = 0.1  # From here on, so that a slow machine opens the card all the same.
            with pytest.raises(CardMuteError, match=r"within 0\.1 s"):
                await mute.transmit(READ)
            assert await other.transmit(READ) == b"\x00\x01\x90\x00"
            with pytest.raises(ReaderUnavailableError, match="not open"):
                await mute.transmit(READ)
            await mute.close()
            pcscd.mend("mute", 0)
            mute._deadline_s = 20.0
            await other.close()
            await until(lambda: not any(channel.is_open for channel in source._stuck.values()))
            assert await mute.open() == ATR
            await mute.close()


async def test_command_that_is_given_up_before_its_deadline_frees_the_reader(tmp_path: Path) -> None:
    with null_pcscd(tmp_path, env={"READERS": "1"}) as pcscd:
        async with started(pcscd.socket) as source:
            reader = source.reader(name(0))
            await reader.open()
            pcscd.fault("mute", 0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await reader.transmit(READ)
            await reader.close()
            pcscd.mend("mute", 0)
            await until(lambda: not any(channel.is_open for channel in source._stuck.values()))
            assert await reader.open() == ATR
            await reader.close()


async def test_pcscd_that_hangs_keeps_readers_until_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watcher_module, "LOOK_AGAIN_S", 0.1)
    monkeypatch.setattr(watcher_module, "ANSWER_S", 2.0)
    monkeypatch.setattr(retry_module, "ABSENT_S", 0.05)
    with null_pcscd(tmp_path, env={"READERS": "1"}) as pcscd:
        async with started(pcscd.socket) as source:
            watched = Watched()
            source.watch(watched)
            reader = source.reader(name(0))
            await reader.open()
            reader._deadline_s = 0.1
            pcscd.program.send_signal(signal.SIGSTOP)
            try:
                with pytest.raises(CardMuteError):
                    await reader.transmit(READ)
                await until(lambda: watched.latest[name(0)] is Presence.UNKNOWN)
                # Its socket is kept until pcscd has let go of the card: a second one would only hang, too.
                with pytest.raises(ReaderUnavailableError, match="still hangs"):
                    await reader.open()
            finally:
                os.kill(pcscd.program.pid, signal.SIGCONT)
            await until(lambda: watched.latest[name(0)] is Presence.PRESENT)
            await until(lambda: not any(channel.is_open for channel in source._stuck.values()))
            reader._deadline_s = 20.0
            assert await reader.open() == ATR
            await reader.close()
    log = capsys.readouterr().err
    assert log.count("pcsc_service_gone") == log.count("pcsc_service_back") == 1


async def test_pcscd_that_dies_fails_the_command_and_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(retry_module, "ABSENT_S", 0.05)
    async with started(tmp_path / "null.comm") as source:
        assert await source.names() == []
        watched = Watched()
        source.watch(watched)
        reader = source.reader(name(0))
        with pytest.raises(ReaderUnavailableError, match="cannot connect to pcscd"):
            await reader.open()
        for _ in range(2):
            with null_pcscd(tmp_path, env={"READERS": "1"}) as pcscd:
                await until(lambda: watched.latest.get(name(0)) is Presence.PRESENT)
                await reader.open()
                pcscd.fault("mute", 0)
                hanging = asyncio.get_running_loop().create_future()
                reader.submit(READ, hanging.set_result)
                pcscd.program.kill()
                assert isinstance(await hanging, ReaderUnavailableError)
                with pytest.raises(ReaderUnavailableError, match="broke"):
                    await reader.transmit(READ)
                await reader.close()
                await until(lambda: watched.latest[name(0)] is Presence.UNKNOWN)
                pcscd.mend("mute", 0)
    assert capsys.readouterr().err.count("pcsc_service_gone") == 3


async def test_card_in_use_is_busy_for_others_and_shared_cards_are_not(tmp_path: Path) -> None:
    with null_pcscd(tmp_path, env={"READERS": "2"}) as pcscd:
        async with started(pcscd.socket) as source, started(pcscd.socket, is_shared=True) as sharing:
            reader, again = source.reader(name(0)), source.reader(name(0))
            await reader.open()
            for other in (again, sharing.reader(name(0))):
                with pytest.raises(ReaderBusyError):
                    await other.open()
            assert await reader.transmit(READ) == b"\x00\x00\x90\x00"
            await reader.close()
            first, second = sharing.reader(name(0)), sharing.reader(name(0))
            await first.open()
            await second.open()
            for _ in range(3):
                assert await first.transmit(READ) == await second.transmit(READ) == b"\x00\x00\x90\x00"
            await first.close()
            # No other program's session was reset by the one that closed.
            assert await second.transmit(READ) == b"\x00\x00\x90\x00"
            await second.close()


async def test_nothing_comes_between_a_command_and_its_get_response(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card_module, "HOLD_S", 20.0)
    monkeypatch.setattr(card_module, "_MORE_COMES", frozenset({0x90}))
    with null_pcscd(tmp_path, env={"READERS": "1"}) as pcscd:
        async with started(pcscd.socket, is_shared=True) as sharing:
            first, second = sharing.reader(name(0)), sharing.reader(name(0))
            await first.open()
            await second.open()
            await first.transmit(SELECT)  # Answered as if there were more to fetch.
            began = time.monotonic()
            later = asyncio.get_running_loop().create_future()
            second.submit(READ, later.set_result)
            monkeypatch.setattr(card_module, "_MORE_COMES", frozenset({0x61}))
            assert await first.transmit(READ) == b"\x00\x00\x90\x00"
            assert not later.done()
            assert await later == b"\x00\x00\x90\x00"
            monkeypatch.setattr(card_module, "_MORE_COMES", frozenset({0x90}))
            monkeypatch.setattr(card_module, "HOLD_S", 0.1)
            await first.transmit(SELECT)
            # A modem that fetches nothing does not keep others out for ever.
            assert await second.transmit(READ) == b"\x00\x00\x90\x00"
            assert time.monotonic() - began < 20
            await first.close()
            await second.close()


@asynccontextmanager
async def scripted(path: Path, answer: Callable[[bytes], bytes | None]) -> AsyncIterator[list[bytes]]:
    """Something else behind the socket: what it answers to what it hears; None: it closes."""
    heard: list[bytes] = []

    async def serve(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = answer(b"")
        while first is not None and (data := await stream.read(4096)):
            heard.append(data)
            reply = answer(data)
            if reply is None:
                break
            writer.write(reply)
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield heard
    finally:
        server.close()
        await server.wait_closed()


async def test_refusal_of_pcscd_is_told_with_its_possible_reasons(tmp_path: Path) -> None:
    async with scripted(tmp_path / "s", lambda _data: None):
        with pytest.raises(ReaderUnavailableError, match="refuses us") as refused:
            await PcscdSource(daemons=[PcscdDaemon(tmp_path / "s")]).reader("R").open()
        assert "polkit" in refused.value.hint
        assert "200" in refused.value.hint
        with pytest.raises(ReaderUnavailableError, match="refuses us"):
            await protocol_of(tmp_path / "s")


@pytest.mark.parametrize(
    ("reply", "said"),
    [(b"HTTP/1.1 400 Bad Request\r\n", "is no pcscd"), (b"\4\0\0\0\x09\0\0\0\x1e\0\x10\x80", "speaks protocol 4:9")],
)
async def test_unknown_version_is_not_used(tmp_path: Path, reply: bytes, said: str) -> None:
    async with scripted(tmp_path / "s", lambda data: reply if data else b""):
        with pytest.raises(ReaderUnavailableError, match=said):
            await protocol_of(tmp_path / "s")


async def test_known_versions_are_used_and_asked_for_the_newest_first(tmp_path: Path) -> None:
    for version in VERSIONS:
        with null_pcscd(tmp_path, version[-1], {"VERSION": version, "LOG": "1"}) as pcscd:
            assert await protocol_of(pcscd.socket) == version
    for socket_path in (tmp_path / "none", tmp_path / ("x" * 120)):
        with pytest.raises(ReaderUnavailableError, match="cannot connect"):
            await protocol_of(socket_path)


async def _use(reader: PcscdReader, rounds: int) -> list[float]:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        assert (await reader.transmit(READ))[-2:] == b"\x90\x00"
        times.append(time.perf_counter() - began)
    return times


async def test_mute_cards_do_not_slow_down_one_that_works(tmp_path: Path) -> None:
    with null_pcscd(tmp_path, env={"READERS": "16"}) as pcscd:
        async with started(pcscd.socket, deadline_s=60) as source:
            readers = [source.reader(name(number)) for number in range(16)]
            for reader in readers:
                await reader.open()
            answers: list[object] = []
            for number in range(1, 16):
                pcscd.fault("mute", number)
                readers[number].submit(READ, answers.append)
            assert len(await _use(readers[0], 300)) == 300
            assert answers == []
            for number in range(1, 16):
                pcscd.mend("mute", number)
            await until(lambda: len(answers) == 15)
            for reader in readers:
                await reader.close()


def _of_sockets() -> int:
    """What each socket has: itself, its buffers, and what waits for replies."""
    kinds = (PcscdChannel, PcscdClient, socket.socket, asyncio.Future, types.GeneratorType)
    return sum(isinstance(one, kinds) for one in gc.get_objects())


async def test_nothing_is_left_of_many_openings(tmp_path: Path) -> None:
    with null_pcscd(tmp_path, env={"READERS": "2"}) as pcscd:
        async with started(pcscd.socket, deadline_s=20) as source:
            reader = source.reader(name(0))
            await reader.open()
            await reader.close()
            gc.collect()
            before, tasks, buffers = descriptors(), len(asyncio.all_tasks()), _of_sockets()
            for number in range(OPENINGS):
                await reader.open()
                assert await reader.transmit(READ) == b"\x00\x00\x90\x00"
                if number % 10 == 0:
                    reader.submit(SELECT, lambda _outcome: None)  # It is given up while it is on its way.
                await reader.close()
                await until(lambda: not any(channel.is_open for channel in source._stuck.values()))
            gc.collect()
            assert descriptors() == before
            assert len(asyncio.all_tasks()) == tasks
            assert _of_sockets() < buffers + 10


async def test_code_of_a_lost_connection_is_that_of_a_missing_service(tmp_path: Path) -> None:
    with null_pcscd(tmp_path, env={"READERS": "1"}) as pcscd:
        async with started(pcscd.socket) as source:
            reader = source.reader(name(0))
            await reader.open()
            pcscd.program.kill()
            with pytest.raises(ReaderUnavailableError) as lost:
                await reader.transmit(READ)
            assert lost.value.code == codes.E_NO_SERVICE
            await reader.close()


async def test_connection_behind_a_transaction_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    async with (
        scripted_pcscd(tmp_path / "s", ("R", 0x34)) as pcscd,
        started(tmp_path / "s", deadline_s=1.0) as source,
    ):
        pcscd.blocking.add("R")
        with pytest.raises(CardMuteError, match="within 1 s"):
            await source.reader("R").open()


async def test_pcscd_that_the_first_connection_starts_is_waited_for(tmp_path: Path) -> None:
    """As systemd does it: something listens and takes the connection before there is a pcscd."""
    with null_pcscd(tmp_path, env={"READERS": "1"}) as pcscd:
        began: list[asyncio.StreamWriter] = []
        is_there = asyncio.Event()

        async def pass_on(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            began.append(writer)
            await is_there.wait()
            back, to = await asyncio.open_unix_connection(pcscd.socket)
            await asyncio.gather(copy(stream, to), copy(back, writer))

        server = await asyncio.start_unix_server(pass_on, tmp_path / "activated")
        source = PcscdSource(daemons=[PcscdDaemon(tmp_path / "activated")])
        starting = asyncio.get_running_loop().create_future()
        when_done(source.start(), starting.set_result, name="start")
        await until(lambda: bool(began))
        assert not starting.done()
        is_there.set()
        await starting
        assert await source.names() == [name(0)]
        reader = source.reader(name(0))
        assert await reader.open() == ATR
        await reader.close()
        await source.stop()
        server.close()
        await server.wait_closed()


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """All that comes, until it ends."""
    while data := await source.read(4096):
        sink.write(data)
    sink.close()


async def test_card_that_hangs_in_a_real_driver_is_let_go_of_when_the_driver_returns(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.doubles.vpcd_card"]
    with PcscdNamespace(tmp_path) as namespace:
        async with started(namespace.socket) as source:
            watched = Watched()
            source.watch(watched)
            silent = namespace.program([*argv, str(VPCD_PORTS[0]), "3b00", "silent"])
            namespace.program([*argv, str(VPCD_PORTS[1]), "3b00"])
            await until(lambda: watched.present() == 2)
            hanging, other = source.reader(READER_NAMES[0]), source.reader(READER_NAMES[1])
            assert await hanging.open() == await other.open() == b"\x3b\x00"
            hanging._deadline_s = 0.2
            with pytest.raises(CardMuteError):
                await hanging.transmit(READ)
            await hanging.close()
            hanging._deadline_s = 20.0
            assert await other.transmit(READ) == b"\x6d\x00"
            with pytest.raises(ReaderUnavailableError, match="still hangs"):
                await hanging.open()
            await asyncio.to_thread(silent.kill)
            await until(lambda: not any(channel.is_open for channel in source._stuck.values()))
            await until(lambda: watched.latest[READER_NAMES[0]] is Presence.ABSENT)
            namespace.program([*argv, str(VPCD_PORTS[0]), "3b00"])
            await until(lambda: watched.latest[READER_NAMES[0]] is Presence.PRESENT)
            await hanging.open()
            assert await hanging.transmit(READ) == b"\x6d\x00"
            await hanging.close()
            await other.close()
