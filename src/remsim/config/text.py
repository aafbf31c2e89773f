# SPDX-License-Identifier: Apache-2.0
"""Text files as people and their editors write them: UTF-8, with or without a mark at the beginning."""

import codecs
from pathlib import Path
from typing import Final

from remsim.core.errors import RemsimError

#: Marks of encodings that editors offer under names such as "Unicode", longest first: UTF-32 begins as UTF-16 does.
_FOREIGN_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
#: So many bytes at the beginning tell UTF-16 without a mark: every other one is zero where letters are Latin.
_SAMPLE: Final = 64

_HINT: Final = "save it as UTF-8"


class TextError(RemsimError):
    """A file is no UTF-8 text. The message goes on from the file's name."""


def decode_text(raw: bytes) -> str:
    """The text, without its mark. Raises TextError, which names UTF-16 as what it is."""
    for mark, name in _FOREIGN_MARKS:
        if raw.startswith(mark):
            raise TextError(f"it is {name} text, not UTF-8", hint=_HINT)
    sample = raw[:_SAMPLE]
    if len(sample) >= 4 and (not any(sample[0::2]) or not any(sample[1::2])) and any(sample):
        raise TextError("it is UTF-16 text, not UTF-8", hint=_HINT)
    try:
        return raw.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise TextError(f"byte {error.start} is not UTF-8", hint=_HINT) from None


def read_text(path: Path) -> str:
    """The text of a file. Raises OSError and TextError."""
    return decode_text(path.read_bytes())
