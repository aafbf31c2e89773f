# SPDX-License-Identifier: Apache-2.0
"""Decisions beyond the tables: overrides, repeated commands, P3 = 00, commands that nobody knows."""

import pytest

from remsim.card.apdu_case import (
    Case,
    CaseDecision,
    CaseOverride,
    CaseSource,
    CommandRules,
    Direction,
    PreviousCommand,
    UnknownCommandPolicy,
    decide,
    parse_override,
)
from remsim.card.errors import ApduCaseError


def h(text: str) -> bytes:
    return bytes.fromhex(text)


def test_command_with_data_to_the_card_is_received() -> None:
    assert decide(h("00d6000007")) == CaseDecision(Direction.RECEIVE, Case.TO_CARD, CaseSource.TABLE)
    assert decide(h("a0a4000002")) == CaseDecision(Direction.RECEIVE, Case.BOTH, CaseSource.TABLE)


def test_command_with_data_from_the_card_is_forwarded() -> None:
    assert decide(h("00b000000a")) == CaseDecision(Direction.FORWARD, Case.FROM_CARD, CaseSource.TABLE)
    assert decide(h("a004000000")) == CaseDecision(Direction.FORWARD, Case.NONE, CaseSource.TABLE)


@pytest.mark.parametrize("header", ["0020000100", "00d6000000", "a0a4000000", "8010000000"])
def test_p3_zero_is_forwarded_whatever_the_case(header: str) -> None:
    assert decide(h(header)).direction is Direction.FORWARD


def test_unknown_command_with_p3_zero_is_forwarded() -> None:
    assert decide(h("80e0000000")) == CaseDecision(Direction.FORWARD, None, CaseSource.NO_DATA)
    assert decide(h("2000000000")).direction is Direction.FORWARD


def test_unknown_instruction_is_refused_with_6d00() -> None:
    assert decide(h("80e0000010")) == CaseDecision(Direction.REFUSE, None, CaseSource.UNKNOWN, 0x6D00)


@pytest.mark.parametrize("cla", ["20", "30", "b0", "a1", "ff"])
def test_unknown_class_is_refused_with_6e00(cla: str) -> None:
    assert decide(h(cla + "b0000002")).sw == 0x6E00


class TestRepeatedAfter6C:
    HEADER = "81cadf2000"

    def previous(self, sw: int, header: str = HEADER, direction: Direction = Direction.FORWARD) -> PreviousCommand:
        return PreviousCommand(h(header), sw, direction)

    def test_repeated_with_the_correct_length_is_forwarded(self) -> None:
        # BFxx may take a tag list, so the table alone would receive.
        assert decide(h("81cabf200b")).direction is Direction.RECEIVE
        decision = decide(h("81cabf200b"), previous=self.previous(0x6C0B, "81cabf2000"))
        assert decision == CaseDecision(Direction.FORWARD, Case.FROM_CARD, CaseSource.REPEATED)

    @pytest.mark.parametrize(("before", "after"), [("81cabf2000", "81cabf2005"), ("81ca00fe00", "81ca00fe02")])
    def test_another_length_may_be_that_of_data(self, before: str, after: str) -> None:
        # A list asked for without data, then with the tags that are wanted: forwarded, it costs the modem its card.
        decision = decide(h(after), previous=self.previous(0x6C2D, before))
        assert decision == CaseDecision(Direction.RECEIVE, Case.BOTH, CaseSource.TABLE)

    @pytest.mark.parametrize("p3", ["0b", "05"])
    def test_unknown_command_repeated_is_forwarded(self, p3: str) -> None:
        decision = decide(h("80e00000" + p3), previous=self.previous(0x6C0B, "80e0000000"))
        assert decision == CaseDecision(Direction.FORWARD, Case.FROM_CARD, CaseSource.REPEATED)

    def test_command_that_brought_data_is_repeated_with_the_stated_length_only(self) -> None:
        previous = self.previous(0x6C08, "00a4000402", Direction.RECEIVE)
        assert decide(h("00a4000408"), previous=previous).direction is Direction.FORWARD
        assert decide(h("00a4000402"), previous=previous).direction is Direction.RECEIVE

    @pytest.mark.parametrize("header", ["81cabf210b", "80cabf200b", "81cbbf200b"])
    def test_other_command_is_not_a_repetition(self, header: str) -> None:
        assert decide(h(header), previous=self.previous(0x6C0B, "81cabf2000")).direction is Direction.RECEIVE

    def test_other_status_word_is_not_followed_by_a_repetition(self) -> None:
        assert decide(h("81cabf200b"), previous=self.previous(0x670B, "81cabf2000")).direction is Direction.RECEIVE


class TestOverride:
    def test_override_comes_before_tables_and_repetition(self) -> None:
        override = CaseOverride(0x80, 0xF0, 0xE0, Case.TO_CARD)
        previous = PreviousCommand(h("84e0000000"), 0x6C10, Direction.FORWARD)
        decision = decide(h("84e0000010"), previous=previous, rules=CommandRules((override,)))
        assert decision == CaseDecision(Direction.RECEIVE, Case.TO_CARD, CaseSource.OVERRIDE)

    def test_override_of_another_class_or_instruction_does_not_apply(self) -> None:
        override = CaseOverride(0x80, 0xF0, 0xE0, Case.TO_CARD)
        assert decide(h("90e0000010"), rules=CommandRules((override,))).sw == 0x6D00
        assert decide(h("b0e0000010"), rules=CommandRules((override,))).sw == 0x6E00
        assert decide(h("80e1000010"), rules=CommandRules((override,))).sw == 0x6D00

    def test_override_with_p3_zero_is_forwarded(self) -> None:
        override = CaseOverride(0x80, 0xFF, 0xE0, Case.TO_CARD)
        assert decide(h("80e0000000"), rules=CommandRules((override,))).direction is Direction.FORWARD

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("80/F0 E0 = 3", CaseOverride(0x80, 0xF0, 0xE0, Case.TO_CARD)),
            (" a0 fe: 1 ", CaseOverride(0xA0, 0xFF, 0xFE, Case.NONE)),
            ("80 CA 5A = 2", CaseOverride(0x80, 0xFF, 0xCA, Case.FROM_CARD, 0x5A)),
        ],
    )
    def test_override_is_read_from_text(self, text: str, expected: CaseOverride) -> None:
        assert parse_override(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "80 E0 = 5",
            "80 E0",
            "8 E0 = 1",
            "80/F E0 = 1",
            "80 E0 = 1 2",
            "80E0 = 1",
            "80 E0 1 = 1",
            "80 E0 01 02 = 1",
        ],
    )
    def test_text_that_is_no_override_is_refused(self, text: str) -> None:
        with pytest.raises(ApduCaseError, match=r"CLA\[/MASK\] INS \[P1\] = CASE"):
            parse_override(text)

    def test_override_with_p1_is_about_that_p1_only(self) -> None:
        rules = CommandRules((parse_override("80 E0 11 = 3"), parse_override("80 E0 = 2")))
        assert decide(h("80e0110010"), rules=rules).direction is Direction.RECEIVE
        assert decide(h("80e0120010"), rules=rules).direction is Direction.FORWARD

    @pytest.mark.parametrize("text", ["80/F0 E0 = 3", "A0 FE = 1", "80 CA 5A = 2"])
    def test_override_is_written_as_it_is_read(self, text: str) -> None:
        assert str(parse_override(text)) == text

    def test_error_shows_an_example_and_no_endless_text(self) -> None:
        with pytest.raises(ApduCaseError) as caught:
            parse_override("80 E0 = 3" + " " * 100_000 + "x")
        assert len(str(caught.value)) < 200
        assert "80/F0 E0 = 3" in caught.value.hint


class TestUnknownCommands:
    RECEIVE = CommandRules(unknown=UnknownCommandPolicy.RECEIVE)

    @pytest.mark.parametrize("header", ["80e0000010", "b0b0000010"])
    def test_received_ones_go_to_the_card_as_a_header(self, header: str) -> None:
        assert decide(h(header), rules=self.RECEIVE) == CaseDecision(Direction.FORWARD, None, CaseSource.UNKNOWN)

    def test_known_ones_stay_as_they_are(self) -> None:
        assert decide(h("00d6000007"), rules=self.RECEIVE).direction is Direction.RECEIVE

    def test_override_comes_first(self) -> None:
        rules = CommandRules((parse_override("80 E0 = 3"),), UnknownCommandPolicy.RECEIVE)
        assert decide(h("80e0000010"), rules=rules).direction is Direction.RECEIVE


@pytest.mark.parametrize("header", ["", "00a40004", "00a400040200"])
def test_header_of_wrong_length_is_refused(header: str) -> None:
    with pytest.raises(ApduCaseError, match="header of"):
        decide(h(header))
