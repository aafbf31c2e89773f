# SPDX-License-Identifier: Apache-2.0
"""The numbers of spans, made of what both ends of a link know of a command, so that nothing need be sent for them.

Where a session outlives its link, its label and the operation tag name a command once and for all; the label is made of
a secret that both ends have and nobody else. Then the client's span, and the bankd's below it, are of one trace.
"""

from hashlib import blake2b
from typing import Final

from remsim.core.values import dataclass
from remsim.trace.tap import CommandId

_PERSON: Final = b"remsim-span"
_TRACE_BYTES, _SPAN_BYTES = 16, 8
#: So many of the lowest bits of a trace's number decide whether it is sampled (W3C Trace Context Level 2).
_RANDOM_BITS: Final = 56


@dataclass(frozen=True, slots=True)
class SpanIds:
    """The number of a command's trace, and that of the client's span in it."""

    trace_id: int
    span_id: int

    def is_sampled(self, share: float) -> bool:
        """Whether this trace is among the share that is sent; the same at both ends if their shares are."""
        return (self.trace_id & ((1 << _RANDOM_BITS) - 1)) < share * (1 << _RANDOM_BITS)


def span_ids(command_id: CommandId) -> SpanIds | None:
    """The numbers of a command; None if it has no name that is unique."""
    if not command_id.session or command_id.tag is None:
        return None
    name = command_id.session + b"%d+%d" % (command_id.tag, command_id.index)
    made = blake2b(name, digest_size=_TRACE_BYTES + _SPAN_BYTES, person=_PERSON).digest()
    # 0 stands for "no trace" and "no span".
    return SpanIds(int.from_bytes(made[:_TRACE_BYTES]) or 1, int.from_bytes(made[_TRACE_BYTES:]) or 1)
