# SPDX-License-Identifier: Apache-2.0
"""ATRs changed by rules stay well-formed and offer what the rules allow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.card.atr import MAX_ATR, mend_atr, parse_atr
from remsim.card.atr_policy import AtrPart, AtrPolicy, cap_ta1, fit_for_emulation, offer_t0_only, strip_atr
from remsim.card.errors import AtrError


def with_tck(body: str) -> bytes:
    """TS, T0 and so on in hex, completed by TCK."""
    raw = bytes.fromhex(body)
    check = 0
    for byte in raw[1:]:
        check ^= byte
    return raw + bytes((check,))


#: A usual USIM: TA1 = 96, TD1 = 80 (T=0), TD2 = 1F (global), TA3 = C7.
USIM = with_tck("3b9f96801fc7" + "8031e073fe2113574a330e19424300")
#: T=0 and T=1: TA1 TD1(T=0) TD2(T=1) TA3 TB3 TD3(T=15) TA4.
BOTH = with_tck("3b92 95 80 b1 fe 45 1f c7 1450".replace(" ", ""))
T1_ONLY = with_tck("3b81 31 fe 45".replace(" ", "").replace("8131", "9011 81 31".replace(" ", "")))
SHORT = bytes.fromhex("3b021450")


class TestCap:
    def test_faster_offer_is_capped_and_tck_recomputed(self) -> None:
        capped = cap_ta1(USIM, 0x94)
        assert parse_atr(capped).interface["TA1"] == 0x94
        assert capped[:2] == USIM[:2]
        assert capped[3:-1] == USIM[3:-1]
        assert capped[-1] != USIM[-1]

    def test_slowest_cap_takes_the_offer_away(self) -> None:
        capped = parse_atr(cap_ta1(USIM, 0x11))
        assert "TA1" not in capped.interface
        assert capped.historical == parse_atr(USIM).historical

    @pytest.mark.parametrize("atr", [SHORT, with_tck("3b9f18801fc7" + "8031e073fe2113574a330e19424300")])
    def test_slower_offer_stays(self, atr: bytes) -> None:
        assert cap_ta1(atr, 0x96) == atr

    def test_reserved_offer_stays(self) -> None:
        atr = bytes.fromhex("3b107f")
        assert cap_ta1(atr, 0x11) == atr

    @pytest.mark.parametrize("highest", [0x00, 0x71, 0x9A])
    def test_reserved_cap_is_refused(self, highest: int) -> None:
        with pytest.raises(AtrError, match="reserved value"):
            cap_ta1(USIM, highest)


class TestT0Only:
    def test_other_protocols_go_global_bytes_stay(self) -> None:
        only = offer_t0_only(BOTH)
        parsed = parse_atr(only)
        assert parsed.protocols == (0,)
        assert parsed.interface == {"TA1": 0x95, "TD1": 0x80, "TD2": 0x1F, "TA3": 0xC7}
        assert parsed.historical == b"\x14\x50"

    def test_card_with_t0_only_stays_as_it_is(self) -> None:
        assert offer_t0_only(USIM) == USIM
        assert offer_t0_only(SHORT) == SHORT

    def test_card_without_t0_is_made_to_offer_it(self) -> None:
        parsed = parse_atr(offer_t0_only(T1_ONLY))
        assert parsed.has_t0
        assert "TD1" not in parsed.interface

    def test_specific_mode_of_another_protocol_goes(self) -> None:
        # TA2 = 81 insists on T=1; TC2 is for T=0 and stays.
        parsed = parse_atr(offer_t0_only(with_tck("3b80d0812081" + "31fe45")))
        assert parsed.interface == {"TD1": 0x40, "TC2": 0x20}
        assert parsed.has_t0

    def test_global_bytes_right_behind_the_first_group_stay(self) -> None:
        # TD1 = 1F: TA2 belongs to T=15 and not to the second group's own meaning.
        atr = with_tck("3b801fc7")
        parsed = parse_atr(offer_t0_only(atr))
        assert parsed.protocols == (0,)
        assert parsed.interface == {"TD1": 0x80, "TD2": 0x1F, "TA3": 0xC7}


class TestStrip:
    def test_historical_bytes_go(self) -> None:
        parsed = parse_atr(strip_atr(USIM, frozenset({AtrPart.HISTORICAL})))
        assert parsed.historical == b""
        assert parsed.interface == parse_atr(USIM).interface

    def test_interface_bytes_go(self) -> None:
        stripped = strip_atr(USIM, frozenset({AtrPart.INTERFACE}))
        assert stripped == b"\x3b\x0f" + parse_atr(USIM).historical

    def test_both_leave_the_shortest_atr(self) -> None:
        assert strip_atr(USIM, frozenset(AtrPart)) == b"\x3b\x00"


class TestFitForEmulation:
    def test_inverse_convention_becomes_direct(self) -> None:
        assert fit_for_emulation(b"\x3f" + USIM[1:]) == USIM

    def test_specific_mode_becomes_negotiable(self) -> None:
        parsed = parse_atr(fit_for_emulation(bytes.fromhex("3b909410" + "00")))
        assert parsed.interface == {"TA1": 0x94, "TD1": 0x00}

    def test_usual_atrs_stay(self) -> None:
        assert fit_for_emulation(USIM) == USIM
        assert fit_for_emulation(SHORT) == SHORT


def test_atr_that_would_become_too_long_is_refused() -> None:
    # 33 bytes, three groups of T=15 behind the first; naming T=0 before them takes one more TDi.
    longest = with_tck("3bff110000ff" + "010203ff" + "010203" + "7f" + "010203" + "00" * 15)
    assert len(longest) == MAX_ATR
    with pytest.raises(AtrError, match="would have 34 bytes"):
        offer_t0_only(longest)


@st.composite
def atrs(draw: st.DrawFn) -> bytes:
    """Well-formed ATRs of any structure."""
    historical = draw(st.binary(max_size=15))
    body, protocols, low = bytearray(), [], len(historical)
    for left in range(draw(st.integers(1, 3)), 0, -1):
        announced = draw(st.integers(0, 7)) | (8 if left > 1 else 0)
        body.append(announced << 4 | low)
        body += draw(st.binary(min_size=(announced & 7).bit_count(), max_size=(announced & 7).bit_count()))
        if left > 1:
            low = draw(st.sampled_from((0, 0, 1, 15, 2)))
            protocols.append(low)
    raw = bytes((draw(st.sampled_from((0x3B, 0x3F))), *body, *historical))
    return with_tck(raw.hex()) if any(protocols) else raw


@given(atrs())
def test_rules_keep_any_atr_well_formed(raw: bytes) -> None:
    parse_atr(raw)
    for changed in (
        cap_ta1(raw, 0x94),
        cap_ta1(raw, 0x11),
        strip_atr(raw, frozenset(AtrPart)),
        fit_for_emulation(raw),
        offer_t0_only(raw),
    ):
        parse_atr(changed)
    assert parse_atr(offer_t0_only(raw)).protocols == (0,)
    assert parse_atr(offer_t0_only(raw)).has_t0
    assert strip_atr(raw, frozenset()) == raw


class TestPolicy:
    def test_without_settings_nothing_changes(self) -> None:
        assert AtrPolicy().apply(b"no ATR at all") == b"no ATR at all"

    def test_fixed_atr_is_shown_always(self) -> None:
        assert AtrPolicy(fixed=SHORT, cap_ta1=0x11, is_t0_only=True).apply(USIM) == SHORT

    def test_rules_are_applied_together(self) -> None:
        policy = AtrPolicy(cap_ta1=0x94, is_t0_only=True, strip=frozenset({AtrPart.HISTORICAL}))
        parsed = parse_atr(policy.apply(BOTH))
        assert (parsed.interface["TA1"], parsed.protocols, parsed.historical) == (0x94, (0,), b"")

    @pytest.mark.parametrize("cap", [0x00, 0x71, -1, 256])
    def test_impossible_cap_is_refused_at_once(self, cap: int) -> None:
        with pytest.raises(AtrError, match="cannot be capped"):
            AtrPolicy(cap_ta1=cap)

    def test_impossible_fixed_atr_is_refused_at_once(self) -> None:
        with pytest.raises(AtrError):
            AtrPolicy(fixed=b"\x3b\xff")

    def test_atr_as_a_reader_delivered_it_passes_untouched_and_is_mended_for_rules(self) -> None:
        delivered = bytes.fromhex("3b9f96801fc78031a073be2113674320071800000100")
        mended = delivered[:-1] + b"\xa5"
        assert AtrPolicy().apply(delivered) == delivered
        assert AtrPolicy(cap_ta1=0x97).apply(delivered) == mended
        assert AtrPolicy(is_t0_only=True).apply(delivered[:-1]) == mended
        assert parse_atr(AtrPolicy(cap_ta1=0x11).apply(delivered)).interface == {"TD1": 0x80, "TD2": 0x1F, "TA3": 0xC7}
        # Hardware that is shown TA2 would be left at the speed of TA1 by the modem.
        specific = bytes.fromhex("3b909410" + "00" + "9000")
        assert fit_for_emulation(specific) == bytes.fromhex("3b909400")


@given(atrs(), st.binary(max_size=8), st.integers(0, 255), st.booleans())
def test_damaged_end_makes_no_difference_to_rules(raw: bytes, behind: bytes, tck: int, is_cut: bool) -> None:
    if any(parse_atr(raw).interface.get(f"TD{group}", 0) & 0x0F for group in range(4)):
        damaged = raw[:-1] if is_cut else raw[:-1] + bytes((tck,)) + behind
    else:
        damaged = raw + behind
    assert mend_atr(damaged) == raw
    for rule in (lambda atr: cap_ta1(atr, 0x94), offer_t0_only, fit_for_emulation):
        assert rule(damaged) == rule(raw)
