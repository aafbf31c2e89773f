# SPDX-License-Identifier: Apache-2.0
"""What ``remsim client run`` makes of its settings, before anything is started."""

from collections.abc import Mapping

import pytest

from remsim.card.apdu_case import CommandRules, UnknownCommandPolicy, parse_override
from remsim.client import commands as module
from remsim.client.core.assignment import Assignment
from remsim.client.core.notices import NoticeKind, Notices
from remsim.config import ClientRunConfig
from remsim.emulators.base import CardEmulator
from remsim.emulators.driven import DrivenEmulator


class _Deciding(DrivenEmulator):
    """An emulator that must know the direction of commands."""

    def __init__(self) -> None:
        super().__init__()
        self.rules: list[CommandRules] = []

    def set_command_rules(self, rules: CommandRules) -> None:
        self.rules.append(rules)


def test_emulators_get_the_rules_for_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[_Deciding] = []

    def make(_name: str, _settings: Mapping[str, object]) -> CardEmulator:
        made.append(_Deciding())
        return made[-1]

    monkeypatch.setattr(module, "make_emulator", make)
    config = ClientRunConfig.model_validate(
        {
            "command_cases": ["80 E0 = 3"],
            "unknown_commands": "receive",
            "slot": [{"emulator": "a"}, {"emulator": "b", "command_cases": ["80 E0 = 2"]}],
        }
    )
    assert len(module.slot_specs(config)) == 2
    of_all, own = parse_override("80 E0 = 3"), parse_override("80 E0 = 2")
    assert [emulator.rules for emulator in made] == [
        [CommandRules((of_all,), UnknownCommandPolicy.RECEIVE)],
        [CommandRules((own, of_all), UnknownCommandPolicy.RECEIVE)],
    ]


def test_person_at_the_shell_hears_of_a_refusal_once_and_in_words() -> None:
    said: list[str] = []
    watcher = module._SlotWatcher()
    watcher.say = said.append
    notices = Notices(Assignment(None))
    for text in ("identity_in_use", "identity_in_use", "illegal_client_id"):
        watcher.on_notice(None, notices.make(NoticeKind.SERVER_REFUSED, text))
    assert said == [
        "the server refuses us: another program with this client number is connected; stop one of the two",
        "the server refuses us: it does not let this client number in; its log says why",
    ]
