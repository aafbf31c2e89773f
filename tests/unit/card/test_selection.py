# SPDX-License-Identifier: Apache-2.0
"""Following the selection by what passes by."""

import pytest

from remsim.card.selection import MF, Path, Selected, SelectionTracker, is_success, short_identifier

OK = b"\x90\x00"
USIM = bytes.fromhex("00a4040c07a0000000871002")


def after(*exchanges: str) -> SelectionTracker:
    """A tracker that has seen these commands; ``hex -> hex`` gives another answer than 9000."""
    tracker = SelectionTracker()
    for exchange in exchanges:
        command, _, response = exchange.partition("->")
        tracker.on_exchange(bytes.fromhex(command), bytes.fromhex(response) or OK)
    return tracker


MF_CMD, USIM_CMD = "00a40004023f00", USIM.hex()


@pytest.mark.parametrize(
    ("commands", "path"),
    [
        ([], (MF,)),
        (["00a40004022fe2"], (MF, 0x2FE2)),
        (["00a40004027f20", "00a40004026f07"], (MF, 0x7F20, 0x6F07)),
        (["a0a40000027f10", "a0a40000025f3a -> 9f1a", "a0a40000024f3a"], (MF, 0x7F10, 0x5F3A, 0x4F3A)),
        (["00a40004027f10", "00a40004025f3a", "00a40004025f3b"], (MF, 0x7F10, 0x5F3B)),
        (["00a40004027f10", "00a40004025f3a", "00a4030c00"], (MF, 0x7F10)),
        (["00a4030c00"], (MF,)),
        ([USIM_CMD], ("ADF.USIM",)),
        ([USIM_CMD, "00a40004026f07"], ("ADF.USIM", 0x6F07)),
        ([USIM_CMD, "00a40004025fc0", "00a40004024f01"], ("ADF.USIM", 0x5FC0, 0x4F01)),
        ([USIM_CMD, "00a4030c00"], (MF,)),
        ([USIM_CMD, MF_CMD, "00a40004027fff"], ("ADF.USIM",)),
        (["00a40004027fff"], None),
        (["00a40804047fff6f07"], None),
        (["00a4040c05a000000087", "00a40004026f07"], None),
        (["00a4040c01a0", MF_CMD, "00a40004027fff", "00a40004026f07"], None),
        ([USIM_CMD, "00a4040e05a000000087", "00a40004026f07"], None),
        (["00a4040c05f001020304", "00a40004026f07"], ("AID F001020304", 0x6F07)),
        # What may be a directory.
        (["00a4000402a000", "00a40004026f07"], None),
        (["00a4000402a000", "00a4030c00"], None),
        (["00a4000402a000", "00a40904026f07"], None),
        (["00a4000402a000", "00b082000a"], None),
        # Refused, and a card may have selected it all the same.
        (["00a40000022fe2 -> 6c10"], None),
        (["00a40000022fe2 -> 6f00"], None),
        (["00a40000022fe2 -> 6985"], (MF,)),
        # Files that are named by other means than SELECT.
        (["0044000002 2fe2"], None),
        (["0044000000"], (MF,)),
        (["00d20114040a0b0c0d"], (MF, 0x2FE2)),
        (["00d082000101"], (MF, 0x2FE2)),
        (["00e200f004aabbccdd"], (MF, 0x2F00)),
        (["80e200f004aabbccdd"], (MF,)),
        (["00cb2fe2025c00"], None),
        (["8076000002 0000 -> 0102 9000"], (MF,)),
        (["8076010008 0102030405060708"], None),
        ([USIM_CMD, "00a40804047fff6f07"], ("ADF.USIM", 0x6F07)),
        (["00a40804047f206f07 -> 6120"], (MF, 0x7F20, 0x6F07)),
        (["00a40004027f20", "00a40904026f07"], (MF, 0x7F20, 0x6F07)),
        (["00a40004027f20", "00a4000400"], (MF,)),
        ([MF_CMD, "00a40004022fe2 -> 6a82"], (MF,)),
        ([USIM_CMD, "00b0870009"], ("ADF.USIM", 0x6F07)),
        (["00b0820000 -> 6c0a"], None),
        (["00b0820000 -> 6d00"], (MF,)),
        (["00b0820000 -> 6c0a", "00b082000a"], (MF, 0x2FE2)),
        (["00b082000a"], (MF, 0x2FE2)),
        (["a0b082000a"], (MF, 0x2FE2)),
        (["00b082000a -> 6982"], None),
        (["00b082000a", "00b082000a -> 6982"], (MF, 0x2FE2)),
        (["00b082000a -> 6a82"], (MF,)),
        (["00b083000a"], None),
        (["00b2013404"], (MF, 0x2F06)),
        ([USIM_CMD, "00b201040a"], ("ADF.USIM",)),
        ([USIM_CMD, "0032870003000001"], ("ADF.USIM", 0x6F07)),
        ([USIM_CMD, "0032000003000001"], ("ADF.USIM",)),
        ([USIM_CMD, "80cb00870100"], ("ADF.USIM", 0x6F07)),
        ([USIM_CMD, "80cb00800100"], ("ADF.USIM",)),
        (["a0a2001004aabbccdd"], (MF,)),
        (["00a4004402a000"], (MF, 0xA000)),
        (["00a4044407a0000000871002"], None),
        (["00a40004025f3a"], None),
        (["00a4030c00", "00a40004025f3a", "00a4030c00"], None),
        (["00a4000403aabbcc"], None),
        (["00a40804017f"], None),
        (["00a4090400"], None),
        (["00e000000162"], None),
        (["80d400000783026f7e80020100"], None),
        (["00e000000162", "00a40004024f3a"], None),
        # Parts of a command: the first, and the last, which has the class of any other.
        (["10a4040005a000000087"], None),
        (["10a4040005a000000087", "00a40400021002"], None),
        (["10a4040005a000000087 -> 6883", "00a40400021002"], None),
        (["10a4040005a000000087", "00a40400021002", MF_CMD], (MF,)),
        (["90a40004012f", "00a40004022fe2"], None),
        (["51a40004012f", "00a40004022fe2"], (MF, 0x2FE2)),
        # Wrapped in secure messaging.
        (["0ca4040c0b8709010102030405060708"], None),
        (["04a40004022fe2"], None),
        (["08a40004022fe2"], None),
        (["8ca40004022fe2"], None),
        (["0ca40004022fe2 -> 6a82"], (MF,)),
        (["0ca40004022fe2", MF_CMD], (MF,)),
        (["20a40004022fe2"], None),
        (["a0a40000022fe2"], (MF, 0x2FE2)),
        (["00d6", "00a400"], (MF,)),
        (["00a40004027f20 -> 90"], (MF,)),
    ],
)
def test_selected_path(commands: list[str], path: Path | None) -> None:
    assert after(*commands).selected(0).path == path


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("00b0000009", ("ADF.USIM", 0x6F7B)),
        ("00b0870009", ("ADF.USIM", 0x6F07)),
        ("00b09f0009", None),
        ("00b16f0702", None),
        ("00b1", None),
        ("80d400000783026f7e80020100", None),
        ("01b0000009", None),
    ],
)
def test_file_that_a_command_works_on(command: str, path: Path | None) -> None:
    assert after(USIM_CMD, "00a40004026f7b").target(bytes.fromhex(command)) == path


class TestChannels:
    def test_each_channel_has_a_selection_of_its_own(self) -> None:
        tracker = after("0070000001 -> 019000", "01a4040c07a0000000871002", "01a40004026f07")
        assert tracker.selected(0x00).path == (MF,)
        assert tracker.selected(0x01).path == ("ADF.USIM", 0x6F07)
        assert tracker.selected(0x81).path == ("ADF.USIM", 0x6F07)
        assert tracker.selected(0x02).path is None

    def test_channel_chosen_by_the_modem(self) -> None:
        assert after("0070000500").selected(0x41).path == (MF,)

    def test_channel_opened_from_another_begins_where_that_one_is(self) -> None:
        tracker = after("0070000001 -> 019000", "01a40004022fe2", "0170000001 -> 029000")
        # Whether the file is selected there, too, cards see differently.
        assert tracker.selected(0x02).path is None
        assert tracker.target(bytes.fromhex("02b085000a")) == (MF, 0x2F05)

    def test_channel_opened_from_another_begins_in_its_application(self) -> None:
        tracker = after("0070000001 -> 019000", "01a4040c07a0000000871002", "0170000001 -> 029000")
        assert tracker.selected(0x02).path == ("ADF.USIM",)

    def test_channel_that_is_reset_is_unknown(self) -> None:
        assert after("0070000001 -> 019000", "0070400100").selected(0x01).path is None

    def test_closed_channel_is_forgotten(self) -> None:
        assert after("0070000001 -> 019000", "0070800100").selected(0x01).path is None
        assert after("0070000001 -> 019000", "0170800000").selected(0x01).path is None

    def test_basic_channel_that_a_card_claims_to_have_closed_is_unknown(self) -> None:
        assert after("0070800000").selected(0x00).path is None

    def test_suspended_card_goes_on_with_all_channels_where_it_was(self) -> None:
        tracker = after("0070000001 -> 019000")
        tracker.on_reset()
        tracker.on_exchange(bytes.fromhex("80760100080102030405060708"), OK)
        assert [tracker.selected(cla).path for cla in (0x00, 0x01, 0x41)] == [None] * 3

    def test_channel_whose_number_nobody_said_is_passed_over(self) -> None:
        assert after("0070000000").selected(0x01).path is None

    @pytest.mark.parametrize(("cla", "path"), [("41", (MF, 0x2FE2)), ("61", None), ("51", None)])
    def test_further_channel_with_bits_for_security_and_chaining(self, cla: str, path: Path | None) -> None:
        tracker = after("0070000501", f"{cla}a40004022fe2")
        assert tracker.selected(0x41).path == path

    def test_reset_ends_a_chain(self) -> None:
        tracker = after("10a4040005a000000087")
        tracker.on_reset()
        tracker.on_exchange(bytes.fromhex("00a40004022fe2"), OK)
        assert tracker.selected(0x00).path == (MF, 0x2FE2)

    def test_reset_closes_all_but_the_basic_one(self) -> None:
        tracker = after("0070000001 -> 019000", "00a40004022fe2")
        tracker.on_reset()
        assert tracker.selected(0x00).path == (MF,)
        assert tracker.selected(0x01).path is None


def test_success_is_also_a_warning_or_waiting_data() -> None:
    assert all(is_success(sw) for sw in (0x9000, 0x9110, 0x6110, 0x9F0A, 0x6283, 0x9201))
    assert not any(is_success(sw) for sw in (0x6A82, 0x6C10, 0x9404, 0x9240, 0x6F00))


def test_unknown_file_in_a_known_directory_has_no_path() -> None:
    assert Selected((MF,), is_file_unknown=True).path is None
    assert short_identifier(bytes.fromhex("0020000108")) is None


def test_observer_that_joins_midway_knows_nothing_until_it_sees_a_selection_or_a_reset() -> None:
    read = bytes.fromhex("00b000000a")
    tracker = SelectionTracker.midway()
    assert tracker.target(read) is None
    # A file below a directory that nobody knows.
    tracker.on_exchange(bytes.fromhex("00a40004026f07"), b"\x90\x00")
    assert tracker.target(read) is None
    # Closing a channel tells nothing about the basic one.
    tracker.on_exchange(bytes.fromhex("0070800100"), b"\x90\x00")
    assert tracker.target(read) is None
    tracker.on_exchange(bytes.fromhex("00a40004023f00"), b"\x90\x00")
    assert tracker.target(read) == (0x3F00,)
    tracker = SelectionTracker.midway()
    # The last part of a command whose first parts nobody saw.
    tracker.on_exchange(bytes.fromhex("00a40400021002"), OK)
    assert tracker.target(read) is None
    # An application that was selected before.
    tracker.on_exchange(bytes.fromhex("00a40004027fff"), OK)
    assert tracker.target(bytes.fromhex("00b0870009")) is None
    tracker = SelectionTracker.midway()
    tracker.on_reset()
    assert tracker.target(read) == (0x3F00,)
