# SPDX-License-Identifier: Apache-2.0
"""A software card of profile ``default`` in a reader that exchanges APDUs: vpcd, and what follows 61xx, 9Fxx and 6Cxx.

``python -m tests.doubles.vpcd_following PORT``; vpcd hands commands through, so the card does what the reader would.
"""

import sys

from remsim.readers.sim.profiles import load_profile
from remsim.uicc import Uicc
from remsim.vpcd import Control
from tests.doubles.scard import following
from tests.doubles.vpcd_card import serve


def main(port: int) -> None:
    """Be the card until vpcd hangs up."""
    profile = load_profile("default")
    uicc = Uicc(profile, None, profile.identity)

    def answer(body: bytes) -> bytes | None:
        if len(body) > 1:
            return following(uicc.transmit, body)
        if body[0] == Control.GET_ATR:
            return profile.atr
        if body[0] == Control.RESET:
            uicc.warm_reset()
        else:
            uicc.cold_reset()
        return None

    serve(port, answer)


if __name__ == "__main__":
    main(int(sys.argv[1]))
