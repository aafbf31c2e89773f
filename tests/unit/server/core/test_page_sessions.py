# SPDX-License-Identifier: Apache-2.0
"""Sessions of the page and links that log in once."""

import json

import pytest

from remsim.core.limits import LimitCounts, LimitName
from remsim.server.core.page_sessions import (
    LINK_S,
    MAX_SESSIONS,
    PROOF_BYTES,
    SESSION_S,
    LoginLink,
    PageFileError,
    PageSessions,
    is_proof,
    link_id_of,
    make_link,
    masked_proof,
    proof_of,
)
from tests.doubles.reaching import reaches

TOKEN = "0123456789ab"
NOW = 1_000_000.0


def secret(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_session_is_found_by_its_cookie_until_it_expires_or_ends() -> None:
    sessions = PageSessions()
    cookie = sessions.begin(secret(1), TOKEN, NOW)
    found = sessions.find(cookie, NOW + SESSION_S - 1)
    assert found is not None
    assert found.token_id == TOKEN
    assert sessions.find(cookie, NOW + SESSION_S) is None
    assert sessions.end(cookie)
    assert not sessions.end(cookie)
    assert sessions.find(cookie, NOW) is None


@pytest.mark.parametrize("cookie", ["", "x", "0" * 63, "0" * 64, "G" * 64, "0" * 64 + "\n"])
def test_other_cookies_find_nothing(cookie: str) -> None:
    sessions = PageSessions()
    sessions.begin(secret(1), TOKEN, NOW)
    assert sessions.find(cookie, NOW) is None


def test_what_is_kept_does_not_log_in_and_is_taken_over_by_the_next_run() -> None:
    sessions, later = PageSessions(), PageSessions()
    cookie = sessions.begin(secret(1), TOKEN, NOW)
    kept = sessions.to_json(NOW)
    assert cookie not in kept
    assert all(later.find(entry["digest"], NOW) is None for entry in json.loads(kept))
    later.restore(kept, NOW + 1)
    assert later.find(cookie, NOW + 1) is not None
    later.restore(kept, NOW + SESSION_S)
    assert len(later) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "[1]",
        '[{"digest":"x","token_id":"0123456789ab","expires_at":1.0}]',
        '[{"digest":"' + "0" * 64 + '","token_id":"../x","expires_at":1.0}]',
        '[{"digest":"' + "0" * 64 + '","token_id":"0123456789ab","expires_at":"1"}]',
        "[" * 100_000,
    ],
)
def test_file_that_is_none_of_ours_is_refused(text: str) -> None:
    with pytest.raises(PageFileError):
        PageSessions().restore(text, NOW)
    with pytest.raises(PageFileError):
        LoginLink.from_json(text)


@reaches(LimitName.PAGE_SESSIONS)
def test_oldest_session_makes_room() -> None:
    limits = LimitCounts()
    sessions = PageSessions(limits)
    first = sessions.begin(secret(0), TOKEN, NOW)
    second = sessions.begin(secret(1), TOKEN, NOW)
    for number in range(2, MAX_SESSIONS + 1):
        sessions.begin(secret(number), TOKEN, NOW)
    assert len(sessions) == MAX_SESSIONS
    assert sessions.find(first, NOW) is None
    assert sessions.find(second, NOW) is not None
    assert limits[LimitName.PAGE_SESSIONS] == 1


def test_token_that_logs_in_again_and_again_ends_no_session_of_others() -> None:
    sessions = PageSessions()
    other = sessions.begin(secret(0), "ba9876543210", NOW)
    cookies = [sessions.begin(secret(number), TOKEN, NOW) for number in range(1, MAX_SESSIONS + 10)]
    assert sessions.find(other, NOW) is not None
    assert [cookie for cookie in cookies if sessions.find(cookie, NOW) is None] == cookies[:10]


def test_proof_belongs_to_one_cookie_and_is_not_the_cookie() -> None:
    one, other = secret(1).hex(), secret(2).hex()
    assert is_proof(proof_of(one), one)
    assert not is_proof(proof_of(other), one)
    assert not is_proof(one, one)
    assert not is_proof(None, one)
    assert not is_proof("é", one)


def test_masked_proof_proves_as_much_and_looks_different_each_time() -> None:
    cookie = secret(1).hex()
    first, second = masked_proof(cookie, b"\x01" * PROOF_BYTES), masked_proof(cookie, b"\x02" * PROOF_BYTES)
    assert first != second
    assert proof_of(cookie) not in first + second
    assert is_proof(first, cookie)
    assert is_proof(second, cookie)
    assert not is_proof(first, secret(2).hex())
    assert not is_proof(first[:64] + second[64:], cookie)
    assert not is_proof(first[:-1], cookie)


def test_link_is_opened_by_its_text_only_and_in_time() -> None:
    text, link = make_link(b"abcdef", secret(1), TOKEN, NOW)
    other, _ = make_link(b"abcdef", secret(2), TOKEN, NOW)
    kept = LoginLink.from_json(link.to_json())
    assert kept == link
    assert text.partition(".")[2] not in link.to_json()
    assert link_id_of(text) == link.link_id
    assert kept.is_opened_by(text, NOW + LINK_S - 1)
    assert not kept.is_opened_by(text, NOW + LINK_S)
    assert not kept.is_opened_by(other, NOW)
    assert not kept.is_opened_by("", NOW)
    assert link_id_of(text + "\n") is None
