# SPDX-License-Identifier: Apache-2.0
"""Nothing with an effect is run before the modem sent it; ``tests.doubles.ahead_never`` has the long run."""

import pytest

from remsim.ahead.rules import TABLE, Verdict
from remsim.uicc import Uicc
from tests.doubles import ahead_never
from tests.doubles.ahead_equivalence import profile

_VERIFY = bytes.fromhex("002000010831323334ffffffff")


def test_hostile_guesses_run_nothing_with_an_effect() -> None:
    tally = ahead_never.run(6, phone_every=100)
    assert tally.starts == 6
    assert sum(tally.extra.values()) > 5 * tally.commands // 2
    # Forbidden commands of every kind were proposed, and refused.
    never = {row.name for row in TABLE if row.verdict is Verdict.NEVER}
    kinds = {"status", "toolkit", "authenticate", "write", "manage-channel", "pin", "select-other", "class", "unknown"}
    assert kinds <= never
    assert kinds <= set(tally.refused)


def test_card_that_was_given_something_with_an_effect_is_noticed() -> None:
    class Leaky(ahead_never.CountingUicc):
        """Hears a VERIFY that nobody sent."""

        def transmit(self, tpdu: bytes) -> bytes:
            if tpdu[1] == 0xB0:
                self.given[_VERIFY] += 1
            return super().transmit(tpdu)

    pair = ahead_never.Pair("iot-modem", 1, card=Leaky(Uicc(profile("iot-modem"))))
    with pytest.raises(AssertionError, match="executed, and never sent"):
        pair.start(ahead_never.Tally())
