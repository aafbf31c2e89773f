# SPDX-License-Identifier: Apache-2.0
"""``remsim`` whose predictions never come true: ``python -m bench.hostile_bankd bankd …``.

Each is of a command that may be run ahead and is not the one that the modem sends: another length of a response that
waits, or a SELECT that leads away from what is selected. Whether it is believed is measured as for any other. Its cards
are exact (``exact_bankd``).
"""

import sys
from typing import Final

from bench.exact_bankd import install
from remsim.ahead.predictor import Context, Predictor
from remsim.ahead.return_path import INS_GET_RESPONSE
from remsim.ahead.structure import Expected
from remsim.ahead.view import CardView
from remsim.bankd.core import ahead
from remsim.cli import main

#: SELECT of the MF, and of the current application, without data in the answer. No recorded start has them.
_AWAY: Final = (bytes.fromhex("00a4000c023f00"), bytes.fromhex("00a4000c027fff"))


class WrongPredictor(Predictor):
    """What else might come."""

    def next(self, context: Context, view: CardView) -> Expected | None:
        """Never what the shipped recordings, or the rules, say."""
        right = super().next(context, view)
        if right is None:
            return None
        if right.tpdu[1] == INS_GET_RESPONSE:
            return Expected(right.tpdu[:4] + bytes(((right.tpdu[4] - 1) & 0xFF,)), right.source)
        return Expected(_AWAY[0] if context.history[-1] != _AWAY[0] else _AWAY[1], right.source)


def main_always_wrong() -> int:
    """Return the exit status of ``remsim``."""
    install()
    # No setting does this.
    vars(ahead)["Predictor"] = WrongPredictor
    return main.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main_always_wrong())
