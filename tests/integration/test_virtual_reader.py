# SPDX-License-Identifier: Apache-2.0
"""``remsim client vpcd`` between a real pcscd and a real pcscd: the virtual reader shows what the real one shows."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from remsim.readers.base import CardReader
from remsim.readers.errors import ReaderError
from remsim.readers.pcsc import PcscSource
from tests.doubles.pcsc_socket import pcsc_through
from tests.doubles.pcscd import READER_NAMES, PcscdNamespace
from tests.doubles.reader_chain import ATR, DIRECT, VIRTUAL, ReaderChain

#: Of every case, right and wrong: found, not found, with and without Le, wrong length, no data, unknown.
COMMANDS = [
    *("00A4000C023F00", "00A40004022FE2", "00B000000A", "00B0000000", "00A40004023F0000", "00A40004026FFF00"),
    *("00440000", "00B0000005", "002000810830303030FFFFFFFF", "0020008100", "80F2000000", "00FF000000"),
]
SELECT_MF, SELECT_ICCID = bytes.fromhex("00a40004023f00"), bytes.fromhex("00a40004022fe2")
READ_ICCID = bytes.fromhex("00b000000a")


@pytest.fixture
def chain(pcscd_namespace: PcscdNamespace, tmp_path: Path) -> Iterator[ReaderChain]:
    with pcsc_through(pcscd_namespace):
        yield ReaderChain(pcscd_namespace, tmp_path)


def virtual_reader() -> CardReader:
    return PcscSource().reader(READER_NAMES[VIRTUAL])


@pytest.mark.timeout(120)
def test_programs_see_the_same_card_as_in_the_reader_itself(chain: ReaderChain) -> None:
    """A PIN is tried once on each way, so the tries that are left are counted down by the same card."""
    direct_atr = chain.opensc(DIRECT, "--atr")
    direct = chain.send(DIRECT, COMMANDS)
    chain.start()
    assert chain.opensc(VIRTUAL, "--atr") == direct_atr
    assert direct_atr.strip().replace(":", " ").upper() == ATR
    virtual = chain.send(VIRTUAL, COMMANDS)
    assert "SW1=0x63, SW2=0xC2" in direct
    assert virtual == direct.replace("SW1=0x63, SW2=0xC2", "SW1=0x63, SW2=0xC1")
    assert "SW1=0x90" in virtual
    scan = chain.namespace.run(["pcsc_scan", "-c"])
    assert f"Reader {VIRTUAL}: {READER_NAMES[VIRTUAL]}" in scan.stdout


@pytest.mark.timeout(120)
async def test_it_is_a_reader_at_tpdu_level_and_resets_reach_the_card(chain: ReaderChain) -> None:
    chain.start()
    reader = virtual_reader()
    assert (await reader.open()).hex(" ").upper() == ATR
    assert (await reader.transmit(SELECT_MF)).hex() == "612e"
    # The Le of a case-4 command is for the reader: it takes it away.
    assert (await reader.transmit(SELECT_ICCID + b"\x00")).hex() == "611a"
    assert (await reader.transmit(bytes.fromhex("00b0000000"))).hex() == "6c0a"
    assert (await reader.transmit(READ_ICCID)).hex()[-4:] == "9000"
    assert (await reader.transmit(bytes(4) + b"\x05\x01")).hex() == "6700"
    for reset in (reader.warm_reset, reader.cold_reset):
        await reader.transmit(SELECT_ICCID)
        assert (await reader.transmit(READ_ICCID)).hex()[-4:] == "9000"
        assert (await reset()).hex(" ").upper() == ATR
        # Nothing is selected after a reset.
        assert (await reader.transmit(READ_ICCID)).hex() == "6986"
    await reader.close()


@pytest.mark.timeout(120)
def test_data_are_fetched_for_programs_that_expect_it(chain: ReaderChain) -> None:
    chain.start("--auto-get-response")
    said = chain.send(VIRTUAL, ["00A4000C023F00", "00A40004022FE200", "00B0000000"])
    assert said.count("SW1=0x90, SW2=0x00") == 3


@pytest.mark.timeout(120)
async def test_bankd_that_goes_is_an_error_and_a_removed_card(chain: ReaderChain) -> None:
    """known-limits.md, 10: the program gets an error at once, and pcscd does not hang."""
    chain.start()
    reader = virtual_reader()
    await reader.open()
    chain.bankd.kill()

    async def use() -> None:
        while True:
            await reader.transmit(READ_ICCID)

    with pytest.raises(ReaderError):
        await use()
    await reader.close()
    chain.await_card(VIRTUAL, is_present=False)
    chain.start_bankd()
    chain.await_card(VIRTUAL)
    assert "SW1=0x90, SW2=0x00" in chain.send(VIRTUAL, ["00A4000C023F00"])


@pytest.mark.timeout(120)
async def test_command_in_flight_ends_with_a_status_word_when_the_bankd_goes(chain: ReaderChain) -> None:
    """vpcd reports a lost card to the program as a success without a single byte."""
    chain.start()
    reader = virtual_reader()
    await reader.open()
    await reader.transmit(SELECT_ICCID)
    chain.bankd.send_signal(signal.SIGSTOP)
    arriving = chain.watch_for(9999, READ_ICCID)
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(reader.transmit(READ_ICCID))
        assert await asyncio.to_thread(arriving.wait) == 0
        chain.bankd.kill()
    assert answer.result().hex() == "6f00"
    await reader.close()
    chain.await_card(VIRTUAL, is_present=False)


@pytest.mark.timeout(120)
def test_pcscd_that_goes_is_waited_for(chain: ReaderChain) -> None:
    chain.start()
    chain.namespace.pcscd.stop()
    chain.client.wait_for("reader_lost|card_removed")
    chain.namespace.start_pcscd()
    chain.await_card(VIRTUAL)
    assert "SW1=0x90, SW2=0x00" in chain.send(VIRTUAL, ["00A4000C023F00"])
    assert chain.client.stop() == 0
