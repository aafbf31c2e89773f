# SPDX-License-Identifier: Apache-2.0
"""A real pcscd that is started for who connects, as systemd does it, and that ends by itself when it is idle."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from remsim.readers.base import Presence
from remsim.readers.errors import CardAbsentError, ReaderUnavailableError
from remsim.readers.pcscd import PcscdDaemon, PcscdSource
from tests.doubles.pcscd import READER_NAMES, VPCD_PORTS, PcscdNamespace
from tests.doubles.pcscd_rig import Watched, started, until
from tests.doubles.programs import Program, remsim

SELECT_MF = bytes.fromhex("00A40004023F00")


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[PcscdNamespace]:
    with PcscdNamespace(tmp_path, is_activated=True) as namespace:
        yield namespace


def bankd(namespace: PcscdNamespace, folder: Path, reader: str) -> Program:
    words = ("--plaintext", "--listen", "127.0.0.1:0", "--server", "127.0.0.1:9", "--state", str(folder / "state"))
    return namespace.program(remsim("bankd", *words, "--auto", "--slots", "2", "--reader", reader))


def service(activator: Program, *, after: int) -> int:
    """The process of the pcscd that was started behind line ``after``."""
    return int(activator.wait_for_stdout(r"service started (\d+)", after=after)[1])


def await_idle_end(activator: Program, process: int) -> None:
    """Wait until pcscd ends because it is idle."""
    activator.wait_for_stdout("Preparing for suicide")
    # It has decided so, and serves nobody any more. Version 1.9.9 hangs now and then while it stops its hotplug thread,
    # which is nothing of ours.
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    activator.wait_for_stdout("service ended")


def last_alarm(activator: Program) -> str:
    return [line for line in activator.stdout.lines if line.startswith("alarm ")][-1]


@pytest.mark.parametrize("reader", ["pcscd", "pcsc"])
def test_pcscd_is_started_for_a_bank_lives_with_it_and_ends_when_idle(
    namespace: PcscdNamespace, tmp_path: Path, reader: str
) -> None:
    activator, slots = namespace.pcscd, tmp_path / "state" / "slots.json"
    assert not any("service started" in line for line in activator.stdout.lines)
    bank = bankd(namespace, tmp_path, reader)
    bank.wait_for("readers_found readers=2 slots_with_reader=2")
    process = service(activator, after=0)
    # The bank watches its readers, so pcscd is not idle: its time is stopped, and nothing else would end it.
    assert last_alarm(activator) == "alarm 0"
    assert bank.stop() == 0
    assert not any("pcsc_service_gone" in line for line in bank.stderr.lines)
    after, known = len(activator.stdout.lines), slots.read_text(encoding="utf-8")
    await_idle_end(activator, process)
    assert last_alarm(activator) == "alarm 60"
    bankd(namespace, tmp_path, reader).wait_for("readers_found readers=2 slots_with_reader=2")
    service(activator, after=after)
    assert slots.read_text(encoding="utf-8") == known


async def test_killed_pcscd_is_started_by_the_bank_and_its_cards_are_opened_again(namespace: PcscdNamespace) -> None:
    activator, (first, second) = namespace.pcscd, READER_NAMES
    async with started(namespace.socket) as source:
        watched = Watched()
        source.watch(watched)
        assert await source.names() == [first, second]
        namespace.program(remsim("uicc", "--vpcd", f"127.0.0.1:{VPCD_PORTS[0]}"))
        reader, after, process = source.reader(first), 0, 0
        for is_last in (False, True):
            await until(lambda: watched.latest.get(first) is Presence.PRESENT)
            await reader.open()
            assert (await reader.transmit(SELECT_MF))[-2] in (0x61, 0x9F)
            if is_last:
                break
            process, after = service(activator, after=after), len(activator.stdout.lines)
            watched.events.clear()
            # Nobody else connects to the socket: it is the bank that starts pcscd.
            os.kill(process, signal.SIGKILL)
            await until(lambda: Presence.UNKNOWN in [event.presence for event in watched.events])
            with pytest.raises(ReaderUnavailableError):
                await reader.transmit(SELECT_MF)
            await reader.close()
            await until(lambda: watched.latest[second] is Presence.ABSENT)
        assert service(activator, after=after) != process
        await reader.close()


async def test_opening_a_card_starts_pcscd_which_ends_when_it_is_closed(namespace: PcscdNamespace) -> None:
    reader = PcscdSource(daemons=[PcscdDaemon(namespace.socket)]).reader(READER_NAMES[0])
    with pytest.raises(CardAbsentError):
        await reader.open()
    await_idle_end(namespace.pcscd, service(namespace.pcscd, after=0))
