# SPDX-License-Identifier: Apache-2.0
"""What is said about files that cannot be used."""

import errno
from pathlib import Path

import pytest

from remsim.pki.files import hint_for


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "namei -l '/a b/key.pem'"),
        (errno.EPERM, "this runs as "),
        (errno.ENOSPC, "make room there (df '/a b')"),
        (errno.EDQUOT, "the file that was there before is as it was"),
        (errno.EROFS, "findmnt -T '/a b'"),
        (errno.ENOENT, "restore it from a backup, or enrol this host again"),
    ],
)
def test_each_reason_has_a_way_out(number: int, said: str) -> None:
    assert said in hint_for(OSError(number, "x"), Path("/a b/key.pem"))


def test_reason_that_nobody_knows_has_no_hint() -> None:
    assert hint_for(OSError(errno.ELOOP, "x"), Path("key.pem")) == ""
