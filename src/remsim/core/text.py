# SPDX-License-Identifier: Apache-2.0
"""Text for people: safe to show, no matter who wrote it, and numbers with their nouns."""

from datetime import UTC, datetime


def escape(text: str) -> str:
    """Return ``text`` with every character that is not printable as an escape sequence: no forged lines or colours."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )


def counted(number: int, noun: str) -> str:
    """``no command``, ``1 command``, ``2 commands``."""
    return f"{number or 'no'} {noun}{'s' if number > 1 else ''}"


def lasting(seconds: float) -> str:
    """``12 s``, ``3 min``, ``2 h``, ``5 days``, rounded down."""
    for size, unit, least in ((86400, "days", 2), (3600, "h", 1), (60, "min", 1)):
        if seconds >= size * least:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def rfc3339(wall: float) -> str:
    """Seconds since 1970-01-01 UTC as RFC 3339, to the millisecond: ``2026-11-29T14:03:00.123Z``."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
