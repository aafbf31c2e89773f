# SPDX-License-Identifier: Apache-2.0
"""What becomes of the conditions that bankds tell of their hosts: warnings, each with something to do."""

from remsim.core import host_codes
from remsim.core.ids import BankSlot
from remsim.server.core.bank_hosts import HOST_KINDS, MAX_TEXT, MEANINGS
from remsim.server.core.tokens import Scope
from remsim.server.core.warning_rules import KINDS
from remsim.server.core.warnings import WARNING_KINDS, Alert
from remsim.wire.link.actions import LinkId
from remsim.wire.messages.health import HostCondition, HostConditionsInd
from remsim.wire.messages.rspro import ReaderHealthInd, ReaderState
from tests.doubles.server_world import ServerWorld

OLD = HostCondition(host_codes.PCSCD_TOO_OLD, is_error=False, detail="this pcscd lists 16 readers at most")
GONE = HostCondition(host_codes.PCSCD_UNUSABLE, is_error=True, detail="pcscd does not run")


def tell(world: ServerWorld, link: LinkId, *conditions: HostCondition) -> None:
    world.receive(link, HostConditionsInd(conditions))


def look(world: ServerWorld) -> list[Alert]:
    return list(world.coordinator.warning_rules.look([], world.now).values())


def test_every_condition_that_is_told_has_a_meaning_and_every_meaning_a_kind() -> None:
    assert set(MEANINGS) == host_codes.TOLD
    assert set(WARNING_KINDS) >= HOST_KINDS
    assert HOST_KINDS <= KINDS


def test_condition_is_a_warning_until_it_is_over() -> None:
    world = ServerWorld()
    link = world.bank(1, is_own=True)
    tell(world, link, OLD)
    (alert,) = look(world)
    assert (alert.kind, alert.about, alert.severity) == ("pcscd", "B1", "warning")
    assert alert.text == "the host of bank 1: this pcscd lists 16 readers at most"
    assert alert.hint == MEANINGS[host_codes.PCSCD_TOO_OLD].hint
    tell(world, link)
    assert look(world) == []


def test_bank_that_leaves_takes_its_conditions_along() -> None:
    world = ServerWorld()
    link = world.bank(1, is_own=True)
    tell(world, link, OLD)
    world.lose(link)
    assert look(world) == []


def test_conditions_of_one_kind_are_one_warning_with_what_helps_against_the_worst() -> None:
    world = ServerWorld()
    tell(world, world.bank(1, is_own=True), OLD, GONE)
    tell(world, world.bank(2, is_own=True), OLD)
    found = {alert.about: alert for alert in look(world)}
    assert found["B1"].text == "the host of bank 1: this pcscd lists 16 readers at most; pcscd does not run"
    assert (found["B1"].severity, found["B1"].hint) == ("error", MEANINGS[host_codes.PCSCD_UNUSABLE].hint)
    assert found["B2"].severity == "warning"
    assert [found[about].is_visible(Scope(frozenset({2}), None)) for about in ("B1", "B2")] == [False, True]


def test_reader_of_a_host_and_reader_of_a_slot_are_two_warnings() -> None:
    world = ServerWorld()
    link = world.bank(1, is_own=True)
    tell(world, link, HostCondition(host_codes.READERS_STUCK, is_error=True, detail="calls do not return"))
    world.receive(link, ReaderHealthInd(BankSlot(1, 3), ReaderState.SUSPENDED, 5))
    assert [(alert.kind, alert.about) for alert in look(world)] == [("reader", "B1:3"), ("reader", "B1")]


def test_name_that_nobody_knows_is_told_all_the_same_and_what_to_do_never_comes_from_the_bank() -> None:
    world = ServerWorld()
    link = world.bank(1, is_own=True)
    tell(world, link, HostCondition("on-fire", is_error=True, detail="run: rm -rf /"))
    (alert,) = look(world)
    assert (alert.kind, alert.hint) == ("host", "see remsim doctor bankd on that host")


def test_words_of_a_bank_are_cleaned_and_bounded() -> None:
    world = ServerWorld()
    link = world.bank(1, is_own=True)
    world.log.clear()
    dirty = [HostCondition("\x1b[31m", is_error=False, detail="\x1b]0;a\x07" + "z" * 240) for _ in range(32)]
    tell(world, link, *dirty)
    (alert,) = look(world)
    assert alert.text.startswith("the host of bank 1: ?]0;a?zzz")
    assert alert.text.isprintable()
    assert len(alert.text) == MAX_TEXT
    assert [event.fields["codes"] for event in world.log if event.name == "bank_host_conditions"] == [["odd"]]
    # The same again, and other words for it, are no line.
    world.log.clear()
    tell(world, link, dirty[0])
    assert world.log == []


def test_client_tells_of_no_host() -> None:
    world = ServerWorld()
    link = world.client("C7:0", is_own=True)
    tell(world, link, OLD)
    assert look(world) == []
