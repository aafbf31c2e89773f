# SPDX-License-Identifier: Apache-2.0
"""The Python API on real sockets: asynchronous, synchronous, and as a pyscard connection."""

import asyncio
import importlib
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import remsim
from remsim.api.pyscard import ConnectionEvent
from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.messages import rspro
from tests.doubles.rspro_peers import ATR, FakeBankd, FakeServer
from tests.reference import ROOT

SELECT = bytes.fromhex("00a40004023f0000")
READ = bytes.fromhex("00b0000002")


def card(tpdu: bytes) -> bytes | None:
    match tpdu[1]:
        case 0xA4:
            return b"\x61\x03"
        case 0xFE:
            return None
    return bytes(range(tpdu[4])) + b"\x90\x00"


class World:
    """Server and bankd, and where the server is."""

    def __init__(self, server: FakeServer, bankd: FakeBankd) -> None:
        self.server = server
        self.bankd = bankd
        self.address = f"127.0.0.1:{server.port}"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with FakeBankd(card) as bankd, FakeServer(bankd=bankd) as server:
        yield World(server, bankd)


# Asynchronous


async def test_program_uses_a_card(world: World) -> None:
    async with remsim.connect(plaintext=True, server=world.address, client="7:0") as card:
        assert card.atr == ATR
        assert (card.client_slot, card.bank_slot, card.is_present) == (ClientSlot(7, 0), BankSlot(1, 2), True)
        answer = await card.transmit(READ)
        assert (answer.data, answer.sw, answer.sw1, answer.sw2) == (b"\x00\x01", 0x9000, 0x90, 0x00)
        assert (await card.transmit(SELECT)).sw == 0x6103
        assert await card.wait_card(1) == ATR
        await card.warm_reset()
        await card.cold_reset()
    await world.bankd.until(lambda: not world.bankd.links)
    assert len(world.bankd.messages(rspro.ClientSlotStatusInd)) == 4


async def test_data_are_fetched_on_demand(world: World) -> None:
    async with remsim.connect(plaintext=True, server=world.address, client="7:0", auto_get_response=True) as card:
        assert (await card.transmit(SELECT)).to_bytes() == b"\x00\x01\x02\x90\x00"


async def test_commands_of_several_tasks_do_not_mix(world: World) -> None:
    async with remsim.connect(plaintext=True, server=world.address, client="7:0", auto_get_response=True) as card:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(card.transmit(SELECT)) for _ in range(5)]
        assert {task.result().sw for task in tasks} == {0x9000}
    sent = world.bankd.messages(rspro.TpduModemToCard)
    assert [message.data[1] for message in sent if isinstance(message, rspro.TpduModemToCard)] == [0xA4, 0xC0] * 5


@pytest.mark.parametrize("apdu", [b"", b"\x00\xa4\x00", bytes(300), bytes.fromhex("00a400040a3f00")])
async def test_what_is_no_command_is_refused_here(world: World, apdu: bytes) -> None:
    async with remsim.connect(plaintext=True, server=world.address, client="7:0") as card:
        with pytest.raises(remsim.TpduError):
            await card.transmit(apdu)
    assert world.bankd.messages(rspro.TpduModemToCard) == []


async def test_command_without_an_answer_is_an_error(world: World) -> None:
    async with remsim.connect(plaintext=True, server=world.address, client="7:0", answer_timeout_s=0.1) as card:
        with pytest.raises(remsim.ExchangeError, match=r"no answer within 0\.1 s"):
            await card.transmit(bytes.fromhex("00fe000000"))


async def test_bankd_that_goes_is_an_error_and_the_card_comes_back(world: World) -> None:
    async with remsim.connect(plaintext=True, server=world.address, client="7:0") as card:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(_fails(card.transmit(bytes.fromhex("00fe000000"))))
            await world.bankd.until(lambda: bool(world.bankd.messages(rspro.TpduModemToCard)))
            world.bankd.drop()
        assert "link to the bankd lost" in waiting.result()
        assert not card.is_present
        with pytest.raises(remsim.NoCardError, match="no card is there"):
            assert card.atr
        assert await card.wait_card(10) == ATR
        assert (await card.transmit(READ)).sw == 0x9000


async def _fails(work: Awaitable[remsim.ResponseApdu]) -> str:
    with pytest.raises(remsim.ExchangeError) as caught:
        await work
    return str(caught.value)


async def test_card_that_does_not_come_is_told_with_the_reason(world: World) -> None:
    world.server.bankd = None
    with pytest.raises(remsim.NoCardError, match=r"no card within 0\.1 s") as caught:
        async with remsim.connect(plaintext=True, server=world.address, client="7:0", card_wait_s=0.1):
            raise AssertionError
    assert "it is not mapped, or the bank of its mapping is not connected" in caught.value.hint
    await world.server.until(lambda: not world.server.links)


async def test_settings_come_from_a_file_and_are_checked(world: World, tmp_path: Path) -> None:
    path = tmp_path / "client.toml"
    path.write_text(f'server = "{world.address}"\nclient = "7:0"\n[atr_rules]\ncap_ta1 = "11"\n')
    async with remsim.connect(config=path, plaintext=True) as card:
        # Without TA1; TCK is another.
        assert card.atr.hex() == "3b8f801fc78031a073be2113674320071800000123"
    with pytest.raises(remsim.ConfigError, match="5000"):
        async with remsim.connect(client="5000:0"):
            raise AssertionError


async def test_error_in_the_block_hangs_up(world: World) -> None:
    async def use() -> None:
        async with remsim.connect(plaintext=True, server=world.address, client="7:0"):
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await use()
    await world.bankd.until(lambda: not world.bankd.links)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"server": 5}, 'server must be a string "HOST:PORT", not int'),
        ({"client": (7, 0)}, 'client must be a string "ID:SLOT", not tuple'),
        ({"config": 5}, "config must be the path of a TOML file, not int"),
        ({"tls": b"x"}, "tls must be the path of a directory, not bytes"),
        ({"plaintext": 1}, "plaintext must be True, False, or networks"),
        ({"card_wait_s": "3"}, "card_wait_s must be a number of seconds, not str"),
        ({"card_wait_s": None}, "card_wait_s must be a number of seconds, not NoneType"),
        ({"answer_timeout_s": True}, "answer_timeout_s must be a number of seconds, not bool"),
        ({"auto_get_response": "no"}, "auto_get_response must be True or False, not str"),
        ({"card_wait_s": -1}, "card_wait_s must be a number of seconds, 0 to 86400, not -1"),
        ({"card_wait_s": float("nan")}, "card_wait_s must be a number of seconds, 0 to 86400, not nan"),
        ({"answer_timeout_s": float("inf")}, "answer_timeout_s must be a number of seconds, 0 to 86400, not inf"),
    ],
)
async def test_wrong_types_are_told_by_name(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(remsim.ArgumentError, match=words):
        async with remsim.connect(**arguments):
            raise AssertionError


async def test_command_of_a_wrong_type_is_told_without_its_content(world: World) -> None:
    def script() -> list[str]:
        connection = remsim.CardConnection(plaintext=True, server=world.address, client="7:0")
        connection.connect()
        wrong: list[Any] = ["00200001", [0, 256], [0, "A4"], 5, None]
        said = [_type_error(partial(connection.transmit, one)) for one in wrong]
        connection.disconnect()
        with remsim.connect_sync(plaintext=True, server=world.address, client="7:0") as card:
            text: Any = "002000010831323334ffffffff"
            said += [_type_error(lambda: card.transmit(text)), _type_error(lambda: card.wait_card(text))]
            assert card.transmit(bytearray(READ)).sw == 0x9000
        return said

    said = await asyncio.to_thread(script)
    assert said[0] == "a command must be a list of numbers 0..255, not str"
    assert said[-2:] == ["a command must be bytes, not str", "timeout_s must be a number of seconds, not str"]
    assert not any("0020" in text or "256" in text for text in said)


def _type_error(call: Callable[[], object]) -> str:
    with pytest.raises(TypeError) as caught:
        call()
    assert isinstance(caught.value, remsim.RemsimError)
    return str(caught.value)


async def test_certificate_is_looked_for_where_the_command_line_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STATE_DIRECTORY", "REMSIM_TLS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("REMSIM_SERVER", "this is for programs of ours only")
    (tmp_path / "remsim" / "client" / "tls").mkdir(parents=True)
    with pytest.raises(remsim.StartError, match=str(tmp_path / "remsim" / "client" / "tls")):
        async with remsim.connect(client="7:0"):
            raise AssertionError
    monkeypatch.setenv("REMSIM_TLS_DIR", str(tmp_path / "mine"))
    with pytest.raises(remsim.StartError, match=str(tmp_path / "mine")):
        async with remsim.connect(client="7:0"):
            raise AssertionError


# Synchronous


async def test_synchronous_program_uses_a_card(world: World) -> None:
    def program() -> list[object]:
        with remsim.connect_sync(plaintext=True, server=world.address, client="7:0") as card:
            card.warm_reset()
            card.cold_reset()
            found = [card.atr, card.wait_card(1), card.is_present, card.client_slot, card.bank_slot]
            return [*found, card.transmit(READ).to_bytes()]

    assert await asyncio.to_thread(program) == [
        *(ATR, ATR, True, ClientSlot(7, 0), BankSlot(1, 2)),
        b"\x00\x01\x90\x00",
    ]
    await world.bankd.until(lambda: not world.bankd.links)


async def test_synchronous_program_gets_the_same_errors(world: World) -> None:
    def no_command() -> None:
        with remsim.connect_sync(plaintext=True, server=world.address, client="7:0") as card:
            card.transmit(b"")

    def no_card() -> None:
        with remsim.connect_sync(plaintext=True, server=world.address, client="7:0", card_wait_s=0.1):
            raise AssertionError

    with pytest.raises(remsim.TpduError):
        await asyncio.to_thread(no_command)
    world.server.bankd = None
    with pytest.raises(remsim.NoCardError):
        await asyncio.to_thread(no_card)
    with pytest.raises(remsim.ConfigError):
        await asyncio.to_thread(lambda: remsim.connect_sync(server=":1").__enter__())


# pyscard


class Watcher:
    """An observer of pyscard's kind."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def update(self, observable: remsim.CardConnection, handlers: ConnectionEvent, /) -> None:
        self.events.append(f"{observable.getReader()} {handlers.type}")


async def test_script_for_pyscard_runs_unchanged(world: World) -> None:
    def script() -> None:
        watcher = Watcher()
        connection = remsim.CardConnection(plaintext=True, server=world.address, client="7:0")
        connection.addObserver(watcher)
        with connection:
            connection.connect()
            assert connection.getATR() == list(ATR)
            assert connection.transmit(list(READ)) == ([0, 1], 0x90, 0x00)
            assert connection.transmit(list(SELECT)) == ([], 0x61, 0x03)
            for disposition in (None, 0, 1, 2):
                connection.reconnect(disposition=disposition)
            connection.connect(connection.T0_protocol | connection.T1_protocol)
        assert watcher.events[:4] == [f"remsim 7:0 {kind}" for kind in ("connect", "command", "response", "command")]
        assert watcher.events[-1] == "remsim 7:0 disconnect"
        connection.release()

    await asyncio.to_thread(script)
    # Warm, warm, cold: each down and up again.
    assert len(world.bankd.messages(rspro.ClientSlotStatusInd)) == 6


async def test_pyscards_own_observers_and_error_checks_work(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    program = f"""
import remsim
from smartcard.CardConnectionObserver import ConsoleCardConnectionObserver
from smartcard.Exceptions import CardConnectionException, NoCardException
from smartcard.sw.ErrorCheckingChain import ErrorCheckingChain
from smartcard.sw.ISO7816_4ErrorChecker import ISO7816_4ErrorChecker
from smartcard.sw.SWExceptions import CheckingErrorException, SWException

connection = remsim.CardConnection(plaintext=True, server="{world.address}", client="7:0", answer_timeout_s=0.2)
connection.addObserver(ConsoleCardConnectionObserver())
connection.setErrorCheckingChain([ErrorCheckingChain([], ISO7816_4ErrorChecker())])
try:
    connection.transmit([0])
except CardConnectionException as error:
    print("first", error)
connection.connect()
connection.transmit([0x00, 0xB0, 0x00, 0x00, 0x01])
try:
    connection.transmit([0x00, 0xFE, 0x00, 0x00, 0x00])
except CardConnectionException as error:
    print("error", error)
connection.disconnect()
try:
    remsim.CardConnection(plaintext=True, server="{world.address}", client="7:1", card_wait_s=0).connect()
except NoCardException as error:
    print("none", error)
except remsim.ConfigError:
    print("wrong")
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert out.decode().splitlines() == [
        "> 00",
        "first not connected",
        "connecting to remsim 7:0",
        "> 00 B0 00 00 01",
        "< 00 90 00",
        "> 00 FE 00 00 00",
        "error no answer within 0.2 s",
        "disconnecting from remsim 7:0",
        "none no card within 0 s",
    ], err.decode()


class Checker:
    """An error checking chain of pyscard's kind."""

    def __init__(self) -> None:
        self.seen: list[tuple[list[int], int, int]] = []
        self.filtered: list[type[BaseException]] = []

    def __call__(self, data: list[int], sw1: int, sw2: int, /) -> None:
        self.seen.append((data, sw1, sw2))

    def addFilterException(self, exClass: type[BaseException], /) -> None:  # noqa: N802, N803 - pyscard's name
        self.filtered.append(exClass)


async def test_connection_without_pyscard_raises_its_own_errors(world: World) -> None:
    def script() -> None:
        checker = Checker()
        connection = remsim.CardConnection(plaintext=True, server=world.address, client="7:0", card_wait_s=0.1)
        connection.addSWExceptionToFilter(ValueError)
        connection.setErrorCheckingChain([checker])
        connection.addSWExceptionToFilter(ValueError)
        with pytest.raises(remsim.CardConnectionError, match="not connected"):
            connection.getATR()
        with pytest.raises(remsim.CardConnectionError, match="T=0 only"):
            connection.setProtocol(connection.T1_protocol)
        connection.connect()
        connection.transmit([0, 0xB0, 0, 0, 1])
        assert (checker.seen, checker.filtered) == [([([0], 0x90, 0)], [ValueError])][0]
        assert connection.getProtocol() == connection.T0_protocol
        for wrong in (connection.control, connection.getAttrib):
            with pytest.raises(remsim.CardConnectionError):
                wrong(1)
        with pytest.raises(remsim.CardConnectionError):
            connection.transmit([])
        connection.disconnect()

    await asyncio.to_thread(script)


def test_connection_has_all_public_methods_of_pyscards() -> None:
    theirs = importlib.import_module("smartcard.CardConnection").CardConnection
    methods = {name for name in vars(theirs) if not name.startswith("_")} - {"doControl", "doGetAttrib"}
    assert not methods - set(dir(remsim.CardConnection))


def test_import_is_cheap() -> None:
    """What a program pays that only says ``import remsim``."""
    program = "import sys, remsim; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in loaded if name.partition(".")[0] in ("asyncio", "pydantic", "structlog")]
    assert [name for name in loaded if name.startswith("remsim")] == ["remsim"]


def test_names_of_the_package_are_those_of_the_api_and_of_the_manual() -> None:
    import remsim.api as api

    assert set(remsim.__all__) == {*api.__all__, "__version__"}
    page = (ROOT / "docs" / "manual" / "virtual-reader.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `remsim\.(\w+)` \|", page, re.MULTILINE)) == set(remsim.__all__)
    assert set(remsim.__all__) <= set(dir(remsim))
    assert all(getattr(remsim, name) for name in remsim.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nix'"):
        assert remsim.nix
