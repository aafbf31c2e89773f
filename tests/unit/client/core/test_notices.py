# SPDX-License-Identifier: Apache-2.0
"""What a person is told of refusals: once for each reason, and in words."""

import pytest

from remsim.client.core.assignment import Assignment
from remsim.client.core.notices import NoticeKind, Notices, in_words, refusal_in
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, ResultCode


def test_refusal_that_comes_with_every_attempt_is_one_until_another_comes() -> None:
    notices = Notices(Assignment(None))
    kinds = [(NoticeKind.SERVER_REFUSED, "identity_in_use")] * 3 + [(NoticeKind.SERVER_REFUSED, "illegal_client_id")]
    made = [notices.make(kind, text) for kind, text in kinds]
    assert [(notice.is_repeated, notice.event.level) for notice in made] == [
        (False, "warning"),
        (True, "debug"),
        (True, "debug"),
        (False, "warning"),
    ]
    notices.make(NoticeKind.SERVER_CONNECTED, "vm")
    assert not notices.make(NoticeKind.SERVER_REFUSED, "illegal_client_id").is_repeated


@pytest.mark.parametrize(
    "code", [code for code in ResultCode if code not in (ResultCode.OK, ResultCode.ILLEGAL_BANK_ID)]
)
def test_each_result_that_a_client_can_get_has_words(code: ResultCode) -> None:
    identity = ComponentIdentity(ComponentType.REMSIM_BANKD, "bank", "remsim-bankd", "1.0")
    refusal = refusal_in(rspro.ConnectClientRes(identity, code), ComponentType.REMSIM_BANKD)
    assert refusal == code.name.lower()
    assert "_" not in in_words(refusal)
    assert in_words(refusal) != refusal


def test_what_is_in_words_already_stays() -> None:
    identity = ComponentIdentity(ComponentType.REMSIM_BANKD, "bank", "remsim-bankd", "1.0")
    refusal = refusal_in(rspro.ConnectClientRes(identity, ResultCode.OK), ComponentType.REMSIM_SERVER)
    assert in_words(refusal) == refusal == "bank is a bankd, not a server; is that the right port?"
