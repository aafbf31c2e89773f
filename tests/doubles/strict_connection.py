# SPDX-License-Identifier: Apache-2.0
"""A classic peer's end of a link with a strict decoder before it: one element of ours on the wire fails the test."""

from remsim.wire.link.engine import LinkEngine
from tests.doubles import strict_asn1


class StrictConnection(LinkEngine):
    """Refuses all that the classic schema does not list. Raises StrictError from ``receive_data``."""

    _partial = b""

    def receive_data(self, data: bytes, now: float, at: float = 0.0) -> None:
        """As the engine's, behind the strict decoder."""
        raw = self._partial + data
        end = 0
        while len(raw) >= end + 3 and len(raw) >= (after := end + 3 + int.from_bytes(raw[end : end + 2], "big")):
            end = after
        for _ in strict_asn1.frames(raw[:end]):
            pass
        self._partial = raw[end:]
        super().receive_data(data, now, at)
