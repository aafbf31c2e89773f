# SPDX-License-Identifier: Apache-2.0
"""Access tokens: text, what is stored, what they allow, and those who fail."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.core.errors import IdRangeError
from remsim.server.core.tokens import (
    EVERYTHING,
    Grant,
    Refusal,
    Scope,
    StoredToken,
    TokenError,
    TokenRole,
    bearer_token,
    check_token,
    digest_of,
    failure_limiter,
    is_still_good,
    limited_source,
    make_token,
    token_id_of,
)

NOW = 1_000_000.0
TEXT, STORED = make_token(b"\x01" * 6, b"\x02" * 32, name="back-end", role=TokenRole.OPERATOR, now=NOW)


def found(stored: StoredToken = STORED, *, text: str = TEXT, now: float = NOW) -> Grant | Refusal:
    """Check against a database with one token."""
    return check_token(text, {stored.token_id: stored}.get, now)


class TestText:
    def test_token_says_what_it_is_and_its_record_does_not_hold_it(self) -> None:
        assert TEXT.startswith("remsim_010101010101_")
        assert token_id_of(TEXT) == STORED.token_id == "010101010101"
        assert STORED.digest == digest_of(TEXT)
        assert TEXT not in repr(STORED)

    @pytest.mark.parametrize("text", ["", "remsim_", TEXT[:-1], TEXT + "a", TEXT.upper(), " " + TEXT, TEXT + "\n"])
    def test_other_text_is_no_token(self, text: str) -> None:
        assert token_id_of(text) is None
        assert found(text=text) is Refusal.MALFORMED

    @given(st.text(max_size=80) | st.from_regex(r"remsim_[0-9a-f]{12}_[a-z2-7]{52}", fullmatch=True))
    def test_arbitrary_text_opens_nothing(self, text: str) -> None:
        assert isinstance(found(text=text), Refusal) or text == TEXT

    @pytest.mark.parametrize(
        ("header", "token"),
        [
            ("Bearer abc", "abc"),
            ("bearer  abc ", "abc"),
            ("Bearer ", None),
            ("Basic abc", None),
            ("", None),
            (None, None),
        ],
    )
    def test_header_gives_the_token(self, header: str | None, token: str | None) -> None:
        assert bearer_token(header) == token

    def test_what_makes_no_token_is_refused(self) -> None:
        with pytest.raises(TokenError, match="random bytes"):
            make_token(b"short", bytes(32), name="x", role=TokenRole.VIEWER, now=NOW)
        for name in ("", "x" * 65, "a\nb"):
            with pytest.raises(TokenError, match="name"):
                make_token(bytes(6), bytes(32), name=name, role=TokenRole.VIEWER, now=NOW)
        with pytest.raises(TokenError, match="longer than 0"):
            make_token(bytes(6), bytes(32), name="x", role=TokenRole.VIEWER, now=NOW, lifetime_s=0)


class TestCheck:
    def test_good_token_grants_its_role_and_scope(self) -> None:
        assert found() == Grant("010101010101", "back-end", TokenRole.OPERATOR, EVERYTHING)

    def test_unknown_and_wrong_secret_are_told_apart_in_the_log_only(self) -> None:
        other, _ = make_token(b"\x01" * 6, b"\x03" * 32, name="x", role=TokenRole.ADMIN, now=NOW)
        unknown, _ = make_token(b"\x09" * 6, b"\x02" * 32, name="x", role=TokenRole.ADMIN, now=NOW)
        assert found(text=other) is Refusal.WRONG
        assert found(text=unknown) is Refusal.UNKNOWN

    def test_revoked_and_expired_tokens_end(self) -> None:
        assert found(replace(STORED, revoked_at=NOW - 1)) is Refusal.REVOKED
        _, short = make_token(b"\x01" * 6, b"\x02" * 32, name="x", role=TokenRole.ADMIN, now=NOW, lifetime_s=60)
        assert isinstance(found(short, now=NOW + 59), Grant)
        assert found(short, now=NOW + 60) is Refusal.EXPIRED

    def test_token_that_was_good_stays_good_until_it_is_revoked_or_ends(self) -> None:
        _, short = make_token(b"\x01" * 6, b"\x02" * 32, name="x", role=TokenRole.ADMIN, now=NOW, lifetime_s=60)
        assert is_still_good(short, NOW + 59)
        assert not is_still_good(short, NOW + 60)
        assert not is_still_good(replace(short, revoked_at=NOW), NOW)
        assert not is_still_good(None, NOW)


class TestRights:
    @pytest.mark.parametrize("role", list(TokenRole))
    def test_role_may_do_what_those_before_it_may(self, role: TokenRole) -> None:
        grant = Grant("x", "x", role, EVERYTHING)
        assert [grant.allows(needed) for needed in TokenRole] == [needed <= role for needed in TokenRole]
        assert TokenRole.parse(role.text) is role

    @pytest.mark.parametrize("text", ["", "root", "ADMIN", "Viewer"])
    def test_other_word_is_no_role(self, text: str) -> None:
        with pytest.raises(TokenError):
            TokenRole.parse(text)

    def test_scope_limits_what_may_be_changed_and_seen(self) -> None:
        grant = Grant("x", "x", TokenRole.OPERATOR, Scope(frozenset({1}), frozenset({23})))
        assert grant.allows(TokenRole.OPERATOR, bank_id=1, client_id=23)
        assert not grant.allows(TokenRole.OPERATOR, bank_id=1, client_id=24)
        assert not grant.allows(TokenRole.OPERATOR, bank_id=2, client_id=23)
        assert grant.allows(TokenRole.VIEWER, bank_id=1)
        assert not grant.allows(TokenRole.VIEWER, client_id=24)
        assert grant.allows(TokenRole.VIEWER)
        assert not grant.allows(TokenRole.OPERATOR)

    def test_scope_may_limit_one_side_only(self) -> None:
        grant = Grant("x", "x", TokenRole.OPERATOR, Scope(banks=frozenset({1})))
        assert grant.allows(TokenRole.OPERATOR, bank_id=1, client_id=1000)
        assert Scope(clients=frozenset()).is_limited
        assert not EVERYTHING.is_limited

    def test_scope_out_of_range_is_refused(self) -> None:
        with pytest.raises(IdRangeError):
            Scope(banks=frozenset({1024}))
        with pytest.raises(IdRangeError):
            Scope(clients=frozenset({-1}))


class TestLimiter:
    def test_so_many_failures_are_let_pass_then_one_at_a_time(self) -> None:
        limiter = failure_limiter(allowed=3, forgiven_s=10.0)
        for _ in range(3):
            assert limiter.wait_s("a", NOW) == 0
            limiter.spend("a", NOW)
        assert limiter.wait_s("a", NOW) == 10
        assert limiter.wait_s("a", NOW + 9) == 1
        assert limiter.wait_s("a", NOW + 10) == 0
        limiter.spend("a", NOW + 10)
        assert limiter.wait_s("a", NOW + 10) == 10
        assert limiter.wait_s("b", NOW) == 0

    def test_failures_are_forgiven(self) -> None:
        limiter = failure_limiter(allowed=3, forgiven_s=10.0)
        for _ in range(3):
            limiter.spend("a", NOW)
        limiter.forget_whole(NOW + 29)
        assert len(limiter) == 1
        limiter.forget_whole(NOW + 30)
        assert len(limiter) == 0
        assert limiter.wait_s("a", NOW + 30) == 0

    def test_hammering_makes_nobody_wait_longer_than_the_whole_bucket(self) -> None:
        limiter = failure_limiter(allowed=3, forgiven_s=10.0)
        for _ in range(1000):
            limiter.spend("a", NOW)
        assert limiter.wait_s("a", NOW) == 10

    def test_memory_is_bounded(self) -> None:
        limiter = failure_limiter(allowed=1, max_sources=2)
        for source in ("a", "b", "a", "c"):
            limiter.spend(source, NOW)
        assert len(limiter) == 2
        assert limiter.wait_s("b", NOW) == 0
        assert limiter.wait_s("a", NOW) > 0

    @given(st.lists(st.floats(0, 30), max_size=60))
    def test_rate_is_bounded_whatever_is_tried(self, pauses: list[float]) -> None:
        limiter = failure_limiter(allowed=3, forgiven_s=10.0)
        now, tried = NOW, 0
        for pause in pauses:
            now += pause
            if limiter.wait_s("a", now) == 0:
                tried += 1
                limiter.spend("a", now)
        assert tried <= 3 + (now - NOW) / 10.0 + 1e-6

    @pytest.mark.parametrize(
        ("host", "source"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::/64"),
            ("2001:db8::ffff%eth0", "2001:db8::/64"),
            ("unknown", "unknown"),
        ],
    )
    def test_host_with_many_addresses_is_one_source(self, host: str, source: str) -> None:
        assert limited_source(host) == source
