# SPDX-License-Identifier: Apache-2.0
"""The cards made from the recorded modem starts answer each command with the recorded status word and length."""

import json

import pytest

from remsim.readers.sim.profiles import load_profile
from remsim.uicc import Uicc
from tests.reference import reference


@pytest.mark.parametrize(
    ("profile", "trace", "commands"), [("iot-modem", "iot-modem-boot", 151), ("phone", "phone-boot", 1001)]
)
def test_fresh_card_answers_as_recorded(profile: str, trace: str, commands: int) -> None:
    card = Uicc(load_profile(profile))
    steps = [json.loads(line) for line in reference("traces", f"{trace}.jsonl").read_text("ascii").splitlines()]
    answered = 0
    for number, step in enumerate(steps, start=1):
        if "event" in step:
            assert step["event"] == "reset"
            card.cold_reset()
            continue
        answer = card.transmit(bytes.fromhex(step["cmd"]))
        assert (answer[-2:].hex(), len(answer) - 2) == (step["sw"], step["rlen"]), f"line {number}: {step['cmd']}"
        answered += 1
    assert answered == commands
