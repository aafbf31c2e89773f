# SPDX-License-Identifier: Apache-2.0
"""Banks and clients that were here, and answers that are kept: what is remembered, and in which bounds."""

from dataclasses import replace

import pytest

from remsim.core.ids import ClientSlot
from remsim.core.limits import LimitCounts, LimitName
from remsim.server.core import kept_answers, known
from remsim.server.core.actions import KeyedRequest, NoteBank, NoteClient, NoteRemoved, StoredRequest
from remsim.server.core.kept_answers import KEPT_S, MAX_KEPT_BYTES, KeptAnswer, KeptAnswers, KeyUse
from remsim.server.core.known import KnownPeers, absence
from tests.doubles.reaching import reaches

BANK = NoteBank(1, "b", "s", "1", 4, ())
ANSWER = KeptAnswer(201, b"{}", "application/json")


def client(nr: int) -> NoteClient:
    return NoteClient(ClientSlot(7, nr), "c", "s", "1", None, "192.0.2.7")


def test_absence_is_told_with_its_time() -> None:
    peers = KnownPeers([(BANK, 0.0)], limits=LimitCounts())
    assert absence("bank 1", peers.bank(1)) == (
        "bank 1 has not connected since the server was started; it was there at 1970-01-01T00:00:00Z"
    )
    peers.note(BANK, 60.0)
    peers.note(NoteRemoved(1), 70.0)
    assert absence("bank 1", peers.bank(1)) == "bank 1 is not connected since 1970-01-01T00:01:00Z"
    assert absence("bank 2", peers.bank(2)) == "bank 2 was never connected"


@reaches(LimitName.KNOWN_CLIENTS)
def test_client_that_was_seen_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MAX_CLIENTS", 2)
    counts = LimitCounts()
    peers = KnownPeers((), [(client(nr), float(-nr)) for nr in range(3)], limits=counts)
    assert list(peers.clients()) == [ClientSlot(7, 1), ClientSlot(7, 0)]
    peers.note(client(1), 10.0)
    peers.note(client(5), 11.0)
    assert list(peers.clients()) == [ClientSlot(7, 1), ClientSlot(7, 5)]
    assert counts[LimitName.KNOWN_CLIENTS] == 1


class TestKeptAnswers:
    NAME = ("token", "/path", "key")

    def test_answer_is_given_again(self) -> None:
        kept = KeptAnswers(LimitCounts())
        assert kept.begin(self.NAME, b"1", 0) is KeyUse.NEW
        assert kept.begin(self.NAME, b"1", 1) is KeyUse.IN_PROGRESS
        kept.finish(self.NAME, ANSWER)
        assert kept.begin(self.NAME, b"1", 2) == ANSWER
        assert kept.begin(self.NAME, b"2", 3) is KeyUse.OTHER_REQUEST
        assert kept.begin(("other", "/path", "key"), b"2", 3) is KeyUse.NEW

    def test_key_is_free_after_a_refusal_a_day_or_a_long_answer(self) -> None:
        kept = KeptAnswers(LimitCounts())
        kept.begin(self.NAME, b"1", 0)
        kept.forget(self.NAME)
        assert kept.begin(self.NAME, b"1", 1) is KeyUse.NEW
        kept.finish(self.NAME, KeptAnswer(200, b"x" * (MAX_KEPT_BYTES + 1), None))
        assert kept.begin(self.NAME, b"1", 2) is KeyUse.NEW
        kept.finish(self.NAME, ANSWER)
        assert kept.begin(self.NAME, b"1", 2 + KEPT_S) == ANSWER
        assert kept.begin(self.NAME, b"1", 3 + KEPT_S) is KeyUse.NEW

    def test_what_an_earlier_run_has_done_is_kept_for_the_rest_of_a_day(self) -> None:
        done = StoredRequest(3, KeyedRequest(self.NAME, b"1"), 1000.0, 7)
        kept = KeptAnswers(LimitCounts(), [replace(done, number=2, made=6), done], wall=1000.0 + KEPT_S - 10, now=50)
        assert len(kept) == 1
        assert kept.begin(self.NAME, b"1", 60) == done
        assert kept.begin(self.NAME, b"2", 60) is KeyUse.OTHER_REQUEST
        assert kept.begin(self.NAME, b"1", 61) is KeyUse.NEW

    def test_no_more_of_an_earlier_run_are_kept_than_of_this(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kept_answers, "MAX_KEPT", 2)
        names = [("token", "/path", str(number)) for number in range(3)]
        # The clock was set back: they are as good as new.
        done = [StoredRequest(nr, KeyedRequest(name, b"1"), 2000.0) for nr, name in enumerate(names)]
        kept = KeptAnswers(LimitCounts(), done, wall=1000.0, now=0)
        assert len(kept) == 2
        assert [kept.begin(name, b"1", KEPT_S) for name in names[1:]] == done[1:]

    def test_what_is_in_doubt_is_in_progress_until_it_is_known(self) -> None:
        kept, done = KeptAnswers(LimitCounts()), StoredRequest(1, KeyedRequest(self.NAME, b"1"), 0.0)
        kept.begin(self.NAME, b"1", 0)
        kept.settle(replace(done, request=KeyedRequest(self.NAME, b"2")), is_done=True)
        assert kept.begin(self.NAME, b"1", 1) is KeyUse.IN_PROGRESS
        kept.settle(done, is_done=False)
        assert kept.begin(self.NAME, b"1", 2) is KeyUse.NEW
        kept.settle(done, is_done=True)
        assert kept.begin(self.NAME, b"1", 3) == done
        # Nothing changes any more; and of what nobody waits for, nothing is kept.
        kept.settle(done, is_done=False)
        assert kept.begin(self.NAME, b"1", 4) == done
        kept.forget(self.NAME)
        kept.settle(done, is_done=True)
        assert len(kept) == 0

    @reaches(LimitName.KEPT_ANSWERS)
    def test_oldest_answer_goes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kept_answers, "MAX_KEPT", 1)
        counts = LimitCounts()
        kept = KeptAnswers(counts)
        kept.begin(self.NAME, b"1", 0)
        kept.finish(self.NAME, ANSWER)
        kept.begin(("token", "/path", "other"), b"1", 0)
        assert (len(kept), counts[LimitName.KEPT_ANSWERS]) == (1, 1)
        # It may be finished all the same.
        kept.finish(self.NAME, ANSWER)
        assert kept.begin(self.NAME, b"1", 0) is KeyUse.NEW

    def test_caller_with_most_keys_forgets_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kept_answers, "MAX_KEPT", 4)
        kept = KeptAnswers(LimitCounts())
        for name in (self.NAME, *(("other", "/path", str(number)) for number in range(9))):
            kept.begin(name, b"1", 0)
            kept.finish(name, ANSWER)
        assert kept.begin(self.NAME, b"1", 0) == ANSWER
        assert kept.begin(("other", "/path", "8"), b"1", 0) == ANSWER
