# SPDX-License-Identifier: Apache-2.0
"""What the doctor makes of pcscd's state. The real pcscd is in tests/integration/test_doctor_bank.py."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remsim.bankd.host import pcscd
from remsim.bankd.host.judging import BankFacts, ccid_version, judge_host
from remsim.bankd.host.pcscd import MAX_READERS, PcscdFacts, PcscLite, ReaderSeen, ask_pcscd, parse_version
from remsim.bankd.host.usb import UsbDevice
from remsim.config import BankdConfig, HostPort, PcscdSocket, SlotReader
from remsim.core.finding import Finding, Outcome
from remsim.core.identity import Role
from remsim.doctor.bank import check_pcscd, judge_choice
from remsim.doctor.check import Situation

SOCKET = Path("/run/pcscd/pcscd.comm")
NO_PYSCARD = "pyscard is not installed: the bankd cannot use readers with --reader pcsc"
DEBIAN_12 = """pcsc-lite version 1.9.9.
Copyright (C) 1999-2002 by David Corcoran <corcoran@musclecard.com>.
Enabled features: Linux x86_64-pc-linux-gnu libsystemd serial usb libudev usbdropdir=/usr/lib/pcsc/drivers filter
MAX_READERNAME: 128, PCSCLITE_MAX_READERS_CONTEXTS: 16
"""
DEBIAN_13 = """pcsc-lite version 2.3.3.
Enabled features: Linux x86_64-pc-linux-gnu libsystemd serial usb libudev polkit usbdropdir=/usr/lib/pcsc/drivers
"""


def problems(findings: list[Finding]) -> list[str]:
    assert all(finding.mend for finding in findings if finding.outcome is not Outcome.OK)
    return [finding.text for finding in findings if finding.outcome is Outcome.PROBLEM]


def notes(findings: list[Finding]) -> list[str]:
    return [finding.text for finding in findings if finding.outcome is Outcome.NOTE]


def readers(count: int) -> tuple[ReaderSeen, ...]:
    return tuple(ReaderSeen(f"Reader {number:02d} 00", has_card=number == 0) for number in range(count))


def usb(count: int) -> tuple[UsbDevice, ...]:
    return tuple(UsbDevice(f"1-1.{number}", is_reader=True) for number in range(count))


def facts(
    *,
    trouble: str | None = None,
    seen: int = 2,
    plugged: int = 2,
    protocol: tuple[int, int] = (4, 4),
    lite: str = DEBIAN_12,
    ccid: str | None = "1.5.2",
    has_program: bool = True,
    has_pyscard: bool = True,
    mode: int = 0o666,
) -> BankFacts:
    found = PcscdFacts(SOCKET, trouble, mode, protocol, () if trouble else readers(seen))
    return BankFacts(found, parse_version(lite), has_program, ccid, has_pyscard, usb(plugged), "bank")


def test_version_and_features_are_read() -> None:
    assert parse_version(DEBIAN_12) == PcscLite("1.9.9", has_polkit=False)
    assert parse_version(DEBIAN_13) == PcscLite("2.3.3", has_polkit=True)
    assert parse_version("command not found") == PcscLite()


def test_host_that_is_well_is_told_in_one_line() -> None:
    (finding,) = judge_host(facts(), None)
    assert finding.outcome is Outcome.OK
    assert finding.text == ("pcscd 1.9.9 (libccid 1.5.2, without polkit) lets bank in: 2 readers, 1 with a card")


@pytest.mark.parametrize(
    ("trouble", "part", "mend"),
    [
        ("absent", "pcscd does not run: there is no /run/pcscd/pcscd.comm", "systemctl enable --now pcscd.socket"),
        ("no socket", "is no socket", "remove it"),
        ("no rights", "the user bank has no right to use /run/pcscd/pcscd.comm (mode 0666)", "systemctl restart"),
        ("nobody", "nothing listens at", "journalctl -u pcscd"),
        ("refused", "pcscd closes the connection of the user bank", "journalctl -u pcscd"),
        ("silent", "does not answer", "systemctl restart pcscd"),
        ("foreign", "speaks no protocol of pcscd", "PCSCLITE_CSOCK_NAME"),
    ],
)
def test_each_trouble_has_its_words(trouble: str, part: str, mend: str) -> None:
    (finding,) = judge_host(facts(trouble=trouble), None)
    assert finding.outcome is Outcome.PROBLEM
    assert part in finding.text
    assert mend in finding.mend


def test_polkit_is_blamed_where_pcscd_knows_it() -> None:
    (finding,) = judge_host(facts(trouble="refused", lite=DEBIAN_13), None)
    assert finding.text == "pcscd refuses the user bank: polkit does not permit it"
    assert "org.debian.pcsc-lite.access_pcsc and org.debian.pcsc-lite.access_card" in finding.mend


def test_what_is_not_installed_is_told() -> None:
    assert problems(judge_host(facts(trouble="absent", has_program=False), None)) == ["pcscd is not installed"]
    assert problems(judge_host(facts(has_pyscard=False), None)) == []
    for reader, told in (("pcscd", []), ("pcsc", [NO_PYSCARD])):
        config = BankdConfig(state_dir=Path("state"), reader=reader)
        assert problems(judge_host(facts(has_pyscard=False), config)) == told
    assert problems(judge_host(facts(seen=0, ccid=None), None)) == [
        "2 USB readers are plugged in, and their driver is not installed"
    ]


def test_readers_that_pcscd_does_not_start_are_told() -> None:
    assert problems(judge_host(facts(seen=1), None)) == ["2 USB readers are plugged in, and pcscd knows 1"]
    assert notes(judge_host(facts(seen=0, plugged=0), None)) == ["no reader is plugged in"]


LIMIT = "this pcscd (protocol 4:5) lists 16 readers at most"


@pytest.mark.parametrize(
    ("seen", "plugged", "slots", "problem", "note"),
    [
        (MAX_READERS, MAX_READERS + 4, 20, [f"{LIMIT}, and 20 are plugged in"], []),
        (2, 2, 20, [], [f"{LIMIT}, and the bank has 20 slots"]),
        (MAX_READERS, MAX_READERS, 16, [], [f"{LIMIT}, and has so many: a further one is not seen"]),
        (15, 15, 16, [], []),
    ],
)
def test_limit_of_sixteen_is_told(
    seen: int, plugged: int, slots: int, problem: list[str], note: list[str], tmp_path: Path
) -> None:
    config = BankdConfig(slots=slots, state_dir=tmp_path)
    found = judge_host(facts(seen=seen, plugged=plugged, protocol=(4, 5)), config)
    assert (problems(found), notes(found)) == (problem, note)
    unlimited = judge_host(facts(seen=seen, plugged=seen, protocol=(4, 6)), config)
    assert [finding.outcome for finding in unlimited] == [Outcome.OK]


def daemon(place: str, seen: int = 2, prefix: str = "", protocol: tuple[int, int] = (4, 4)) -> PcscdFacts:
    names = tuple(ReaderSeen(f"{prefix}{reader.name}", reader.has_card) for reader in readers(seen))
    return PcscdFacts(Path(place), None, 0o666, protocol, names)


def several(*daemons: PcscdFacts) -> BankFacts:
    return BankFacts(daemons[0], parse_version(DEBIAN_12), ccid="1.5.2", user="bank", others=daemons[1:])


def test_each_of_several_daemons_is_told() -> None:
    rules = [SlotReader(slot=0, reader="left/Reader 01 00"), SlotReader(slot=1, reader="Reader 01 00")]
    gone = PcscdFacts(Path("/run/right/comm"), "absent")
    left, right = judge_host(several(daemon("/run/left/comm", prefix="left/"), gone), None, rules)
    assert left.text.startswith("pcscd 1.9.9 at /run/left/comm (")
    assert (right.text, right.mend[:9]) == ("pcscd does not run: there is no /run/right/comm", "start the")
    both = several(daemon("/run/left/comm", prefix="left/"), daemon("/run/right/comm", prefix="right/"))
    found = judge_host(both, None, rules)
    assert notes(found) == ["slot 1: no reader matches Reader 01 00"]
    assert "NAME/reader" in found[-1].mend


def test_limit_of_several_daemons_is_that_of_all(tmp_path: Path) -> None:
    config = BankdConfig(slots=40, state_dir=tmp_path)
    limit = "these 2 pcscd (protocol 4:4) list 32 readers at most, and the bank has 40 slots"
    assert notes(judge_host(several(daemon("/a"), daemon("/b")), config)) == [limit]
    full = several(daemon("/a", MAX_READERS), daemon("/b"))
    assert notes(judge_host(full, None)) == ["the pcscd at /a lists 16 readers at most, and has so many"]
    newer = several(daemon("/a", MAX_READERS), daemon("/b", 40, protocol=(4, 6)))
    assert notes(judge_host(newer, config)) == ["the pcscd at /a lists 16 readers at most, and has so many"]


def test_bank_that_wants_more_connections_than_pcscd_has_is_told(tmp_path: Path) -> None:
    many = several(daemon("/a", 240, protocol=(4, 6)))
    (told,) = notes(judge_host(many, BankdConfig(slots=256, state_dir=tmp_path)))
    assert told == "pcscd takes 200 connections unless it is told otherwise, and the bank wants 243"
    assert notes(judge_host(many, BankdConfig(slots=197, state_dir=tmp_path))) == []


def test_pcscd_that_is_full_is_not_blamed_on_polkit() -> None:
    full = BankFacts(PcscdFacts(SOCKET, "refused", clients=200), parse_version(DEBIAN_13), user="bank")
    (found,) = judge_host(full, None)
    assert found.text == "pcscd at /run/pcscd/pcscd.comm has 200 connections and takes no more"
    assert "--max-thread 400" in found.mend


def test_pcscd_that_hangs_is_told_with_its_process() -> None:
    (stopped,) = judge_host(BankFacts(PcscdFacts(SOCKET, "silent", listener=77, is_stopped=True)), None)
    assert (stopped.text.partition(": ")[2], stopped.mend) == ("process 77 was stopped by a signal", "kill -CONT 77")
    (activated,) = judge_host(BankFacts(PcscdFacts(SOCKET, "silent", listener=1)), None)
    assert activated.text.endswith("where systemd starts it for the first program")
    assert "journalctl -u pcscd" in activated.mend


def test_container_has_the_socket_of_its_host() -> None:
    bare = BankFacts(facts().pcscd, has_program=False, ccid=None, usb=usb(2), user="bank")
    (found,) = judge_host(bare, None)
    assert found.text == "pcscd (protocol 4:4; it is not installed here) lets bank in: 2 readers, 1 with a card"
    (absent,) = judge_host(BankFacts(PcscdFacts(SOCKET, "absent"), has_program=False), None)
    assert "give it the host's folder /run/pcscd" in absent.mend


def test_readers_of_one_name_are_told() -> None:
    twins = PcscdFacts(SOCKET, None, protocol=(4, 4), readers=(*readers(2), *readers(1)))
    assert problems(judge_host(BankFacts(twins, ccid="1.5.2"), None)) == [
        "2 readers are called Reader 00 00: none of them is served"
    ]


def test_polkit_that_lets_list_and_not_use_is_noted() -> None:
    kept = PcscdFacts(SOCKET, None, protocol=(4, 5), readers=readers(2), forbids_cards=True)
    (told,) = notes(judge_host(BankFacts(kept, parse_version(DEBIAN_13), ccid="1.5.2", user="bank"), None))
    assert told == "polkit lets bank list the readers, and not use their cards, unless a rule names the reader"


@pytest.mark.parametrize(
    ("reader", "has_daemons", "has_pyscard", "trouble", "outcome", "text"),
    [
        ("pcsc", False, True, None, Outcome.OK, "pcsc is used: the setting reader names it"),
        ("pcscd", False, True, "absent", Outcome.OK, "pcscd is used: the setting reader names it"),
        (None, True, True, "absent", Outcome.OK, "pcscd is used: [[pcscd]] names its sockets"),
        (None, False, False, "absent", Outcome.OK, "pcscd is used: pyscard is not installed, so there is no other"),
        (None, False, True, None, Outcome.OK, f"pcscd is used: {SOCKET} answers (protocol 4:4)"),
        (
            None,
            False,
            True,
            "silent",
            Outcome.NOTE,
            f"pcscd is used, and waits because of {SOCKET}: pcscd does not answer",
        ),
        (None, False, True, "foreign", Outcome.NOTE, f"pcsc is used, because of {SOCKET}: no version that is known"),
    ],
)
def test_reader_that_is_chosen_is_told_with_the_reason(
    reader: str | None, has_daemons: bool, has_pyscard: bool, trouble: str | None, outcome: Outcome, text: str
) -> None:
    daemons = (PcscdSocket(socket=SOCKET),) if has_daemons else ()
    config = BankdConfig(state_dir=Path("state"), reader=reader, pcscd=daemons)
    found = judge_choice(facts(trouble=trouble, has_pyscard=has_pyscard), config)
    assert (found.check, found.outcome, found.text) == ("reader", outcome, text)
    if not has_daemons and reader is None:
        assert judge_choice(facts(trouble=trouble, has_pyscard=has_pyscard), None) == found


def test_slots_without_a_reader_are_told() -> None:
    rules = [
        SlotReader(slot=0, reader="Reader 00 00"),
        SlotReader.model_validate({"slot": 1, "pattern": "Reader 0[2-9] .*"}),
    ]
    assert notes(judge_host(facts(), None, rules)) == ["slot 1: no reader matches pattern Reader 0[2-9] .*"]


def test_version_of_the_driver_is_read(tmp_path: Path) -> None:
    bundle = tmp_path / "drivers" / "ifd-ccid.bundle" / "Contents"
    bundle.mkdir(parents=True)
    file = bundle / "Info.plist"
    file.write_text(
        '<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict>'
        "<key>CFBundleShortVersionString</key><string>1.5.2</string></dict></plist>"
    )
    places = [tmp_path / "none", tmp_path / "drivers"]
    assert ccid_version(places) == "1.5.2"
    file.write_text("<plist>")
    assert ccid_version(places) == "unknown"
    assert ccid_version(places[:1]) is None


@pytest.mark.parametrize(
    ("reader", "text"),
    [("sim", "not needed: the cards are software"), ("acme", "not looked at: readers come from acme")],
)
async def test_other_sources_of_readers_need_no_pcscd(reader: str, text: str, tmp_path: Path) -> None:
    config = BankdConfig(reader=reader, state_dir=tmp_path)
    (finding,) = await check_pcscd(Situation(HostPort("h", 1), role=Role.BANK, bankd=config))
    assert (finding.outcome, finding.text) == (Outcome.OK, text)


# The socket, with a pcscd of another version behind it


@asynccontextmanager
async def stub(
    socket: Path,
    version: tuple[int, int],
    *,
    accepts: bool = True,
    says: bytes | None = None,
    on_connect: int = 0x80100009,
) -> AsyncIterator[None]:
    """Answers as pcscd of ``version`` does; with ``says``, says that and closes. ``on_connect``: rv of each CONNECT."""
    rows = struct.pack("=128sIIi33s3xII", b"ACME [CCID] 00 00", 1, 0x14, 0, b"\x3b", 1, 1) + bytes(184 * 15)

    def reply(command: int, body: bytes) -> bytes:
        match command:
            case 17:
                wanted = struct.unpack("=iiI", body)[:2]
                is_good = accepts and (wanted == version or version >= (4, 6))
                return struct.pack("=iiI", *version, 0 if is_good else 0x8010001E)
            case 1:
                return struct.pack("=III", 0, 7, 0)
            case 4:
                return body[:-4] + struct.pack("=I", on_connect)
            case 22:
                return struct.pack("=i", 1)
            case 23:
                return rows[:184]
        assert command == 18
        return rows

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if says is not None:
            await reader.read(1)
            writer.write(says)
            writer.close()
            return
        while header := await reader.read(8):
            size, command = struct.unpack("=II", header)
            writer.write(reply(command, await reader.readexactly(size)))
        writer.close()

    server = await asyncio.start_unix_server(talk, socket)
    try:
        yield
    finally:
        server.close()


@pytest.mark.parametrize("version", [(4, 4), (4, 5), (4, 6)])
async def test_each_version_of_pcscd_is_understood(version: tuple[int, int], tmp_path: Path) -> None:
    async with stub(tmp_path / "comm", version):
        found = await ask_pcscd(tmp_path / "comm")
    assert (found.trouble, found.protocol) == (None, version)
    assert found.readers == (ReaderSeen("ACME [CCID] 00 00", has_card=True),)


@pytest.mark.parametrize(("on_connect", "forbids"), [(0x80100009, False), (0x8010006A, True)])
@pytest.mark.parametrize("version", [(4, 5), (4, 6)])
async def test_polkit_is_asked_about_cards_without_touching_one(
    version: tuple[int, int], on_connect: int, forbids: bool, tmp_path: Path
) -> None:
    async with stub(tmp_path / "comm", version, on_connect=on_connect):
        found = await ask_pcscd(tmp_path / "comm", has_polkit=True)
    assert (found.trouble, found.forbids_cards) == (None, forbids)


@pytest.mark.parametrize(("says", "trouble"), [(b"", "refused"), (b"abc", "refused")])
async def test_refusal_is_told_apart(says: bytes, trouble: str, tmp_path: Path) -> None:
    async with stub(tmp_path / "comm", (4, 5), says=says):
        assert (await ask_pcscd(tmp_path / "comm")).trouble == trouble


async def test_version_to_come_is_told(tmp_path: Path) -> None:
    async with stub(tmp_path / "comm", (5, 0), accepts=False):
        found = await ask_pcscd(tmp_path / "comm")
    assert (found.trouble, found.detail) == ("foreign", "version 5:0 is none that is known")
    async with stub(tmp_path / "older", (4, 3), accepts=False):
        found = await ask_pcscd(tmp_path / "older")
    assert (found.trouble, found.detail) == ("foreign", "it speaks 4:3; known are 4:4, 4:5, 4:6")


async def test_silence_has_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcscd, "DEADLINE_S", 0.05)
    done = asyncio.Event()

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_unix_server(say_nothing, tmp_path / "comm")
    assert (await ask_pcscd(tmp_path / "comm")).trouble == "silent"
    done.set()
    server.close()


async def test_what_is_no_socket_is_told(tmp_path: Path) -> None:
    assert (await ask_pcscd(tmp_path / "comm")).trouble == "absent"
    (tmp_path / "comm").touch()
    assert (await ask_pcscd(tmp_path / "comm")).trouble == "no socket"
