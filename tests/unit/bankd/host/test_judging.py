# SPDX-License-Identifier: Apache-2.0
"""What is made of a bank's host: pcscd's state, its limits, its readers. The real pcscd is in
tests/integration/test_doctor_bank.py.
"""

from pathlib import Path

import pytest

from remsim.bankd.host.judging import BankFacts, ccid_version, judge_host
from remsim.bankd.host.pcscd import MAX_READERS, PcscdFacts, parse_version
from remsim.config import BankdConfig, SlotReader
from remsim.core.finding import Outcome
from tests.doubles.bank_facts import DEBIAN_13, SOCKET, daemon, facts, notes, problems, readers, several, usb

NO_PYSCARD = "pyscard is not installed: the bankd cannot use readers with --reader pcsc"


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
