# SPDX-License-Identifier: Apache-2.0
"""PPS exchanges and the speed they agree on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.card.errors import PpsError
from remsim.card.pps import DEFAULT_SPEED, MAX_PPS, Pps, Speed, parse_pps, pps_length
from tests.doubles import virtual_modem

_byte = st.none() | st.integers(0, 255)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("ff10947b", Pps(0, 0x94)),
        ("ff00ff", Pps(0)),
        ("ff11947a", Pps(1, 0x94)),
        ("ff7094112229", None),
        ("ff7094112228", Pps(0, 0x94, 0x11, 0x22)),
    ],
)
def test_pps_is_read(raw: str, expected: Pps | None) -> None:
    data = bytes.fromhex(raw)
    if expected is None:
        with pytest.raises(PpsError, match="PCK"):
            parse_pps(data)
    else:
        assert parse_pps(data) == expected
        assert expected.to_bytes() == data


@pytest.mark.parametrize(("raw", "text"), [("", "nothing"), ("ff", "ff"), ("0010", "0010"), ("ff10", "instead of 4")])
def test_what_is_no_pps_is_refused(raw: str, text: str) -> None:
    with pytest.raises(PpsError, match=text):
        parse_pps(bytes.fromhex(raw))


def test_left_over_bytes_are_refused() -> None:
    with pytest.raises(PpsError, match="instead of 3"):
        parse_pps(bytes.fromhex("ff00ff00"))


@given(st.builds(Pps, st.integers(0, 15), _byte, _byte, _byte))
def test_pps_survives_the_round_trip(pps: Pps) -> None:
    recorded = pps.to_bytes()
    assert pps_length(recorded) == len(recorded) <= MAX_PPS
    assert parse_pps(recorded) == pps


@given(st.binary(max_size=8))
def test_arbitrary_bytes_raise_nothing_but_pps_errors(recorded: bytes) -> None:
    try:
        pps = parse_pps(recorded)
    except PpsError:
        return
    # Bit 8 of PPS0 is reserved: it is ignored, and never sent.
    assert pps.to_bytes()[2:-1] == recorded[2:-1]


@pytest.mark.parametrize(
    ("response", "is_accepted"),
    [
        (Pps(0, 0x94), True),
        (Pps(0), True),
        (Pps(0, 0x95), False),
        (Pps(1, 0x94), False),
        (Pps(0, 0x94, 0x00), False),
    ],
)
def test_response_is_an_echo_or_leaves_out(response: Pps, is_accepted: bool) -> None:
    assert virtual_modem.is_accepted(Pps(0, 0x94), response) is is_accepted


def test_speed_in_clocks() -> None:
    speed = Pps(0, 0x94).speed
    assert speed == Speed(9, 4) == Speed.from_byte(0x94)
    assert (speed.fi, speed.di) == (512, 8)
    assert str(speed) == "F=512 D=8"
    assert (DEFAULT_SPEED.fi, DEFAULT_SPEED.di) == (372, 1)
    assert Pps(0).speed is None


@pytest.mark.parametrize("value", [0x00, 0x71, 0x90, 0x9F])
def test_reserved_speed_has_no_rate(value: int) -> None:
    speed = Speed.from_byte(value)
    assert None in (speed.fi, speed.di)
    assert "reserved" in str(speed)
