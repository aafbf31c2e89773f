# SPDX-License-Identifier: Apache-2.0
"""One-time codes: text, and which attempts are good."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.core.identity import Identity
from remsim.pki.codes import (
    LIFETIME_S,
    TRIES,
    Attempt,
    CodeVerdict,
    EnrolmentCode,
    StoredCode,
    check_attempt,
    decode_bytes,
    encode_bytes,
    key_fingerprint,
)
from remsim.pki.errors import EnrolmentError

NOW = 1_000_000.0
BANK = Identity.bank(1)
CODE = EnrolmentCode(BANK, b"\x01" * 6, b"\x02" * 16, b"\x03" * 32)
STORED = StoredCode.of(CODE, NOW)
KEY = key_fingerprint(b"one key")
OTHER_KEY = key_fingerprint(b"another key")
GOOD = Attempt(BANK, CODE.secret, KEY)
WRONG = Attempt(BANK, bytes(16), KEY)


class TestText:
    def test_code_comes_back_from_its_text(self) -> None:
        assert EnrolmentCode.parse(f"  {CODE.to_text()}\n") == CODE

    def test_secret_is_not_shown(self) -> None:
        assert repr(CODE) == "EnrolmentCode(bank/1, AQEBAQEB)"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "bank/1",
            "bank/1:a:b:c",
            CODE.to_text().replace("bank/1", "modem/1"),
            CODE.to_text() + "A",
            CODE.to_text()[:-1],
            CODE.to_text() + ":",
            CODE.to_text().replace("AgI", "+gI"),
            CODE.to_text()[:-1] + "x",
        ],
    )
    def test_other_text_is_refused_without_repeating_it(self, text: str) -> None:
        with pytest.raises(EnrolmentError) as caught:
            EnrolmentCode.parse(text)
        assert "AgICAg" not in str(caught.value)
        assert "remsim pki code" in caught.value.hint

    @given(st.binary(max_size=40))
    def test_bytes_come_back(self, raw: bytes) -> None:
        if raw:
            assert decode_bytes(encode_bytes(raw), len(raw)) == raw

    @given(st.text(max_size=120) | st.from_regex(r"bank/1(:[A-Za-z0-9_-]{0,45}){3}", fullmatch=True))
    def test_arbitrary_text_is_read_or_refused(self, text: str) -> None:
        try:
            code = EnrolmentCode.parse(text)
        except EnrolmentError:
            return
        assert code.to_text() == text.strip()

    def test_length_that_base64_does_not_have_is_refused(self) -> None:
        with pytest.raises(EnrolmentError):
            decode_bytes("AAAAA", 3)


def test_fingerprint_of_a_key_is_its_sha_256() -> None:
    """The example of FIPS 180-2, appendix B.1."""
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert key_fingerprint(b"abc").hex() == expected


class TestAttempts:
    def test_good_secret_binds_the_code_to_its_key(self) -> None:
        verdict, after = check_attempt(STORED, GOOD, NOW)
        assert verdict is CodeVerdict.ACCEPTED
        assert verdict.is_good
        assert after == replace(STORED, used_by=KEY)
        assert after is not None
        assert not after.is_live(NOW)

    def test_answer_that_was_lost_is_given_again_to_the_same_key_only(self) -> None:
        used = replace(STORED, used_by=KEY)
        assert check_attempt(used, GOOD, NOW) == (CodeVerdict.REPEATED, used)
        verdict, after = check_attempt(used, replace(GOOD, key=OTHER_KEY), NOW)
        assert verdict is CodeVerdict.USED
        assert not verdict.is_good
        assert after == used

    def test_code_ends_after_an_hour_also_for_the_key_that_used_it(self) -> None:
        assert check_attempt(STORED, GOOD, NOW + LIFETIME_S - 1)[0] is CodeVerdict.ACCEPTED
        assert check_attempt(STORED, GOOD, NOW + LIFETIME_S)[0] is CodeVerdict.EXPIRED
        assert check_attempt(replace(STORED, used_by=KEY), GOOD, NOW + LIFETIME_S)[0] is CodeVerdict.EXPIRED

    def test_time_of_making_is_known(self) -> None:
        assert StoredCode.of(CODE, NOW).made_at == NOW

    def test_newer_code_ends_an_older_one(self) -> None:
        assert check_attempt(replace(STORED, is_withdrawn=True), GOOD, NOW)[0] is CodeVerdict.WITHDRAWN

    def test_five_wrong_secrets_end_a_code(self) -> None:
        stored: StoredCode | None = STORED
        for left in range(TRIES - 1, -1, -1):
            verdict, stored = check_attempt(stored, WRONG, NOW)
            assert verdict is CodeVerdict.WRONG
            assert stored is not None
            assert stored.tries_left == left
        assert check_attempt(stored, WRONG, NOW)[0] is CodeVerdict.WRONG
        assert check_attempt(stored, GOOD, NOW)[0] is CodeVerdict.EXHAUSTED

    def test_right_secret_of_somebody_else_is_wrong(self) -> None:
        assert check_attempt(STORED, replace(GOOD, identity=Identity.bank(2)), NOW)[0] is CodeVerdict.WRONG

    def test_wrong_secret_costs_a_used_code_nothing(self) -> None:
        used = replace(STORED, used_by=KEY)
        assert check_attempt(used, WRONG, NOW) == (CodeVerdict.WRONG, used)

    def test_unknown_code_is_told_like_a_wrong_secret(self) -> None:
        verdict, after = check_attempt(None, GOOD, NOW)
        assert after is None
        assert verdict.text == CodeVerdict.WRONG.text
        assert verdict.value != CodeVerdict.WRONG.value
        assert CodeVerdict.USED.text == CodeVerdict.USED.value

    @given(
        st.lists(
            st.tuples(st.sampled_from([CODE.secret, bytes(16)]), st.sampled_from([KEY, OTHER_KEY]), st.floats(0, 900)),
            max_size=12,
        )
    )
    def test_at_most_one_key_is_ever_accepted(self, attempts: list[tuple[bytes, bytes, float]]) -> None:
        stored: StoredCode | None = STORED
        winners: set[bytes] = set()
        now, wrong = NOW, 0
        for secret, key, later in attempts:
            now += later
            verdict, stored = check_attempt(stored, Attempt(BANK, secret, key), now)
            wrong += verdict is CodeVerdict.WRONG
            if verdict.is_good:
                assert now < NOW + LIFETIME_S
                assert wrong < TRIES or winners
                winners.add(key)
        assert len(winners) <= 1
