# SPDX-License-Identifier: Apache-2.0
"""A PC/SC program that sends one command again and again and prints how long each took, as JSON.

``python -m bench.pcsc_meter READER COUNT``: microseconds from SCardTransmit to its return, in order.
"""

import json
import sys
import time
from typing import Final

from smartcard import scard

_SELECT: Final = list(bytes.fromhex("00a4000c022fe2"))
_READ: Final = list(bytes.fromhex("00b000000a"))
#: SCARD_S_SUCCESS and SCARD_LEAVE_CARD.
_SUCCESS: Final = 0
_LEAVE_CARD: Final = 0
#: Not counted: the first commands find caches cold.
_WARM_UP: Final = 20


def main(reader: str, count: int) -> int:
    """Return the exit status."""
    _, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    code, card, protocol = scard.SCardConnect(context, reader, scard.SCARD_SHARE_SHARED, scard.SCARD_PROTOCOL_T0)
    if code != _SUCCESS:
        print(f"cannot connect: 0x{code & 0xFFFFFFFF:08X}", file=sys.stderr)
        return 1
    scard.SCardTransmit(card, protocol, _SELECT)
    durations = []
    for number in range(_WARM_UP + count):
        began = time.perf_counter_ns()
        code, response = scard.SCardTransmit(card, protocol, _READ)
        if number >= _WARM_UP:
            durations.append((time.perf_counter_ns() - began) / 1000)
        if code != _SUCCESS or response[-2:] != [0x90, 0x00]:
            print(f"command {number}: 0x{code & 0xFFFFFFFF:08X} {response}", file=sys.stderr)
            return 1
    scard.SCardDisconnect(card, _LEAVE_CARD)
    scard.SCardReleaseContext(context)
    print(json.dumps(durations))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
