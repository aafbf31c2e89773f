# SPDX-License-Identifier: Apache-2.0
"""Which abilities go into which connect message."""

import pytest

from remsim.core.ids import ClientSlot
from remsim.wire.link import abilities
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, Message, ResultCode

IDENTITY = ComponentIdentity(ComponentType.REMSIM_CLIENT, "vm", "remsim-client", "1")
REQUESTS: list[Message] = [
    rspro.ConnectBankReq(IDENTITY, 1, 8),
    rspro.ConnectClientReq(IDENTITY, ClientSlot(1, 0)),
]
RESPONSES: list[Message] = [
    rspro.ConnectBankRes(IDENTITY, ResultCode.OK),
    rspro.ConnectClientRes(IDENTITY, ResultCode.IDENTITY_IN_USE),
]


def named(message: Message) -> tuple[str, ...] | None:
    """The abilities in a connect message."""
    assert isinstance(
        message, rspro.ConnectBankReq | rspro.ConnectBankRes | rspro.ConnectClientReq | rspro.ConnectClientRes
    )
    return message.identity.abilities


@pytest.mark.parametrize("message", REQUESTS)
def test_request_names_all_of_ours_whatever_is_agreed(message: Message) -> None:
    for common in (None, frozenset({"echo.1"})):
        assert named(abilities.introduce(message, abilities.ABILITIES, common)) == abilities.ABILITIES


@pytest.mark.parametrize("message", REQUESTS)
def test_request_without_abilities_of_ours_is_the_classic_one(message: Message) -> None:
    assert abilities.introduce(message, (), None) == message


@pytest.mark.parametrize("message", RESPONSES)
def test_response_names_the_common_ones_in_our_order(message: Message) -> None:
    common = frozenset({"slots.1", "echo.1"})
    assert named(abilities.introduce(message, abilities.ABILITIES, common)) == ("echo.1", "slots.1")


@pytest.mark.parametrize("message", RESPONSES)
def test_response_names_abilities_only_if_the_request_did(message: Message) -> None:
    # An empty set still tells a peer of ours that it met one of its kind.
    assert abilities.introduce(message, abilities.ABILITIES, None) == message
    assert named(abilities.introduce(message, abilities.ABILITIES, frozenset())) == ()


def test_other_messages_pass_unchanged() -> None:
    message = rspro.SetAtrRes(ResultCode.OK)
    assert abilities.introduce(message, abilities.ABILITIES, None) is message


def test_everything_but_the_abilities_is_kept() -> None:
    for message in REQUESTS + RESPONSES:
        changed = abilities.introduce(message, abilities.ABILITIES, frozenset())
        assert type(changed) is type(message)
        assert str(changed).replace("1+xfd7f", "1").replace("1+x0", "1") == str(message)
