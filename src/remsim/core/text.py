# SPDX-License-Identifier: Apache-2.0
"""Text for people: safe to show, no matter who wrote it, and numbers with their nouns."""


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
