# SPDX-License-Identifier: Apache-2.0
"""Text that is safe to show, no matter who wrote it."""


def escape(text: str) -> str:
    """Return ``text`` with every character that is not printable as an escape sequence: no forged lines or colours."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )
