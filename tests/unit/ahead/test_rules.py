# SPDX-License-Identifier: Apache-2.0
"""The table of what may be guessed: examples of each kind, and what stops all guessing."""

import pytest

from remsim.ahead.rules import MALFORMED, TABLE, UNTRIED, Verdict, judge
from remsim.ahead.view import CardView

_SELECT_MF = bytes.fromhex("00a40004023f00")
_SELECT_USIM = bytes.fromhex("00a404040ca0000000871002ff49ffff89")
_OK = b"\x90\x00"


def _view(*exchanges: tuple[str, str]) -> CardView:
    """A card at the MF of channel 0, without a response that waits, then told of ``exchanges``."""
    view = CardView()
    view.on_exchange(bytes.fromhex("00a4000c023f00"), _OK)
    for tpdu, response in exchanges:
        view.on_exchange(bytes.fromhex(tpdu), bytes.fromhex(response))
    return view


@pytest.mark.parametrize(
    ("tpdu", "row"),
    [
        ("00a40004022fe2", "select-fid"),
        ("00a4000c022fe2", "select-fid"),
        ("00a40804022fe2", "select-path"),
        ("00a40904022fe2", "select-path"),
        ("00a40004027fff", "select-adf"),
        ("00b000000a", "read-binary"),
        ("00b082000a", "read-binary-sfi"),
        ("00b2010428", "read-record"),
        ("00b201f428", "read-record-sfi"),
        ("00a2010401ff", "search"),
        ("0020000100", "verify-query"),
        ("002c008100", "unblock-query"),
    ],
)
def test_these_may_be_guessed(tpdu: str, row: str) -> None:
    judgement = judge(bytes.fromhex(tpdu), _view())
    assert (judgement.row.name, judgement.is_guess) == (row, True)


@pytest.mark.parametrize(
    ("tpdu", "row"),
    [
        ("80f2000000", "status"),
        ("a0f2000016", "status"),
        ("8010000001ff", "toolkit"),
        ("8012000010", "toolkit"),
        ("80140000020000", "toolkit"),
        ("80c2000001d1", "toolkit"),
        ("0088008102ffff", "authenticate"),
        ("00d6000001ff", "write"),
        ("00dc010401ff", "write"),
        ("8032000001ff", "write"),
        ("0004000000", "write"),
        ("0070000001", "manage-channel"),
        ("002000010831323334ffffffff", "pin"),
        ("00240001103132333435363738" + "31" * 8, "pin"),
        ("80b0000001", "class"),
        ("0cb0000001", "class"),
        ("10a40004022fe2", "class"),
        ("a0b0000001", "other-family"),
        ("00a404040ca0000000871002ff49ffff89", "select-other"),
        ("00a4030c00", "select-other"),
        ("00a40044022fe2", "select-other"),
        ("00a4080403ffffff", "select-other"),
        ("00b2000228", "read-other"),
        ("00b2000428", "read-other"),
        ("00c0000010", "no-fetch"),
        ("0084000008", "unknown"),
        ("002c010100", "unknown"),
        ("01b0000001", "lost"),
        ("00a4000402", "select-other"),
        ("00a40004", "malformed"),
    ],
)
def test_these_are_never_guessed(tpdu: str, row: str) -> None:
    judgement = judge(bytes.fromhex(tpdu), _view())
    assert (judgement.row.name, judgement.is_guess, judgement.undo) == (row, False, ())


def test_nothing_is_guessed_before_the_modem_selected_anything() -> None:
    names = {judge(bytes.fromhex(tpdu), CardView()).row.name for tpdu in ("00a40004023f00", "00b0820001", "a0b0000001")}
    assert names == {"other-family"}


def test_response_is_fetched_before_the_modem_asks_and_its_source_is_the_undo() -> None:
    view = _view(("00a40804022fe2", "611f"))
    judgement = judge(bytes.fromhex("00c000001f"), view)
    assert (judgement.row.name, [command.hex() for command in judgement.undo]) == ("fetch", ["00a40804022fe2"])
    assert judge(bytes.fromhex("00c0000020"), view).row.name == "no-fetch"


@pytest.mark.parametrize("source", ["00880081022020", "80c20000020000"])
def test_response_that_cannot_be_had_twice_is_fetched_as_a_whole_only(source: str) -> None:
    view = _view((source, "6110"))
    assert judge(bytes.fromhex("00c0000010"), view).row.name == "fetch-once"
    assert judge(bytes.fromhex("00c000000f"), view).row.name == "no-fetch"
    assert judge(bytes.fromhex("00b0820001"), view).row.name == "awaited"


def test_undo_goes_back_to_where_the_modem_is() -> None:
    view = _view(("00a40004027f10", "9000"), ("00a40004026f3a", "9000"), ("00a2010401ff", "9000"))
    undo = judge(bytes.fromhex("00a40004022fe2"), view).undo
    assert [command.hex() for command in undo] == ["00a4000c023f00", "00a4000c027f10", "00a4000c026f3a", "00a2010401ff"]


def test_form_of_a_restoring_command_is_tried_first() -> None:
    view = CardView()
    view.on_exchange(_SELECT_MF, b"\x61\x20")
    # The modem may still fetch the response, so it would be made anew by the command that the modem sent.
    assert judge(bytes.fromhex("00a40004022fe2"), view).undo == (_SELECT_MF,)
    view.on_exchange(bytes.fromhex("0020000100"), b"\x63\xc3")
    assert judge(bytes.fromhex("00a40004022fe2"), view).trial == bytes.fromhex("00a4000c023f00")
    view.on_tried(bytes.fromhex("00a4000c023f00"), b"\x6a\x86")
    assert judge(bytes.fromhex("00a40004022fe2"), view).row.name == "untried"


def test_after_an_application_its_directory_is_the_way_back() -> None:
    view = _view((_SELECT_USIM.hex(), "9000"))
    assert judge(bytes.fromhex("00b0870009"), view).trial == bytes.fromhex("00a4000c027fff")


@pytest.mark.parametrize(
    "exchange",
    [
        ("00a4040409a00000015100000000", "9000"),  # another application takes SELECT as it likes
        ("00b2000228", "00" * 40 + "9000"),  # the record pointer was moved
        ("00a404040ca0000000871002ff49ffff89", "6a82"),
        ("80d40000020000", "9000"),
        ("0ca40004022fe2", "9000"),
    ],
)
def test_where_nobody_knows_what_is_selected_nothing_is_guessed(exchange: tuple[str, str]) -> None:
    assert judge(bytes.fromhex("00b000000a"), _view(exchange)).row.name == "lost"


@pytest.mark.parametrize("sw", ["6e00", "6d00", "6881", "6700"])
def test_after_a_command_without_meaning_nothing_is_guessed(sw: str) -> None:
    assert judge(bytes.fromhex("00b000000a"), _view(("00a5000000", sw))).row.name == "unsettled"


def test_selection_stays_once_a_local_pin_was_verified() -> None:
    view = _view(("0020008108" + "31" * 8, "9000"))
    assert judge(bytes.fromhex("00a40004022fe2"), view).row.name == "local-pin"
    assert judge(bytes.fromhex("00b000000a"), view).is_guess
    view.on_reset()
    view.on_exchange(bytes.fromhex("00a4000c023f00"), _OK)
    assert judge(bytes.fromhex("00a40004022fe2"), view).is_guess


def test_global_pin_changes_nothing() -> None:
    assert judge(bytes.fromhex("00a40004022fe2"), _view(("0020000108" + "31" * 8, "9000"))).is_guess


def test_modem_that_changes_classes_begins_anew() -> None:
    view = _view(("a0a40000026f3a", "9000"))
    assert judge(bytes.fromhex("a0b0000001"), view).row.name == "lost"
    view.on_exchange(bytes.fromhex("a0a40000023f00"), b"\x9f\x16")
    assert judge(bytes.fromhex("a0c0000016"), view).row.name == "fetch"
    assert judge(bytes.fromhex("00b0820001"), view).row.name == "other-family"


def test_first_row_that_is_about_a_command_decides() -> None:
    views = [_view(), _view(("00a40804022fe2", "611f"))]
    ends = [bytes.fromhex(end) for end in ("000000", "00001f", "010428", "0004022fe2")]
    for tpdu in [bytes((0x00, ins)) + end for ins in range(256) for end in ends]:
        for view in views:
            rows = [row for row in TABLE if row.instructions is None or tpdu[1] in row.instructions]
            assert judge(tpdu, view).row in (next(row for row in rows if row.applies(tpdu, view)), UNTRIED)


def test_every_row_says_why() -> None:
    assert all(row.why and row.name for row in (*TABLE, MALFORMED))
    assert len({row.name for row in TABLE}) == len(TABLE)
    assert TABLE[-1].verdict is Verdict.NEVER
