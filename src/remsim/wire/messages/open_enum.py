# SPDX-License-Identifier: Apache-2.0
"""Enumerations that a later version may add to."""

from enum import IntEnum


class OpenEnum(IntEnum):
    """An extensible enumeration: numbers that are not listed are kept, under the name ``UNKNOWN_n``."""

    @classmethod
    def _missing_(cls, value: object) -> "OpenEnum | None":
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member
