# SPDX-License-Identifier: Apache-2.0
"""Text as editors of several systems save it."""

import pytest

from remsim.config import TextError, decode_text


@pytest.mark.parametrize("raw", [b"", b"a", "über".encode(), "über".encode("utf-8-sig")])
def test_utf8_is_read_with_its_mark_or_without(raw: bytes) -> None:
    assert decode_text(raw) in ("", "a", "über")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_unicode_is_named_as_what_it_is(encoding: str) -> None:
    with pytest.raises(TextError, match=f"it is {encoding[:6].upper()} text, not UTF-8") as caught:
        decode_text('"1","0","ACS"\n'.encode(encoding))
    assert caught.value.hint == "save it as UTF-8"


@pytest.mark.parametrize(("raw", "at"), [(b"a\xff", 1), (b"\x80", 0), (bytes((0x41, 0x00, 0xFF)), 2)])
def test_what_is_no_text_is_told_with_its_place(raw: bytes, at: int) -> None:
    with pytest.raises(TextError, match=f"byte {at} is not UTF-8"):
        decode_text(raw)
