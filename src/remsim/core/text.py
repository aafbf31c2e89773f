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


def rfc3339(wall: float) -> str:
    """Seconds since 1970-01-01 UTC as RFC 3339, to the millisecond: ``2026-11-29T14:03:00.123Z``."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
