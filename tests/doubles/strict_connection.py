# SPDX-License-Identifier: Apache-2.0
"""A classic peer's end of a link with a strict decoder before it: one element of ours on the wire fails the test."""

from remsim.wire.connection import Connection
from tests.doubles import strict_asn1


class StrictConnection(Connection):
    """Refuses all that the classic schema does not list. Raises StrictError from ``receive_data``."""

    _partial = b""

    def receive_data(self, data: bytes, now: float) -> None:
        """As the engine's, behind the strict decoder."""
        octets = self._partial + data
        end = 0
        while len(octets) >= end + 3 and len(octets) >= (
            after := end + 3 + int.from_bytes(octets[end : end + 2], "big")
        ):
            end = after
        for _ in strict_asn1.frames(octets[:end]):
            pass
        self._partial = octets[end:]
        super().receive_data(data, now)
