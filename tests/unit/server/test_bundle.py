# SPDX-License-Identifier: Apache-2.0
"""What makes a bundle fit to be shown to others: aliases, and the archive."""

import io
import tarfile

import pytest

from remsim.server.bundle import Anonymizer, as_json, as_lines, pack


def anonymous() -> Anonymizer:
    return Anonymizer({"host": ["vm", "vm.example.org"], "label": ["bob's phone"]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.7:40112", "address#1:40112"),
        ("127.0.0.1:9998 and 0.0.0.0", "127.0.0.1:9998 and 0.0.0.0"),
        ("[2001:db8::1]:9999", "[address#1]:9999"),
        ("[::1]:9999", "[::1]:9999"),
        ("::ffff:192.0.2.7", "address#1"),
        ("from 2001:db8::: at 12:34:56.", "from 2001:db8::: at 12:34:56."),
        ("2001:db8::1: closed, by fe80::2.", "address#1: closed, by address#2."),
        ("bankd vm on vm.example.org", "bankd host#1 on host#2"),
        ("vmx is another word", "vmx is another word"),
        ("bob's phone", "label#1"),
        ("iccid 8900101000000000018 again 8900101000000000018", "iccid number#1 again number#1"),
        ("890010…0018", "card#1"),
        ("00101…89", "card#1"),
        ("0a1b2c3d4e5f-17+2", "session#1-17+2"),
        ("remsim_0123456789ab_" + "a" * 52, "remsim_0123456789ab_…"),
        ("bytes 00a40004022fe2", "bytes <bytes>"),
        ("2026-11-29T20:21:00.824Z", "2026-11-29T20:21:00.824Z"),
        ("B1:3 C7:0 since 12:30:59", "B1:3 C7:0 since 12:30:59"),
        ("READ BINARY SFI 07, 9 bytes [EF.IMSI]", "READ BINARY SFI 07, 9 bytes [EF.IMSI]"),
        ("0.1.0 of 3.11.7", "0.1.0 of 3.11.7"),
    ],
)
def test_text_is_made_anonymous(text: str, expected: str) -> None:
    assert anonymous().text(text) == expected


def test_one_thing_has_one_alias_in_all_files() -> None:
    one = anonymous()
    found = one.value({"peer": "192.0.2.7:1", "others": ["192.0.2.8", "192.0.2.7"], "age_s": 123456.5, "up": True})
    assert found == {
        "peer": "address#1:1",
        "others": ["address#2", "address#1"],
        "age_s": 123456.5,
        "up": True,
    }


def test_archive_has_all_files_in_one_folder() -> None:
    raw = pack(
        "remsim-B1-3", {"a.txt": "ä", "b.json": as_json({"x": 1}), "c.jsonl": as_lines([1, "x"])}, 1_700_000_000.5
    )
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:gz") as archive:
        names = archive.getnames()
        contents = [archive.extractfile(name) for name in names]
        texts = [each.read().decode() for each in contents if each is not None]
        owners = {(entry.uname, entry.mtime) for entry in archive.getmembers()}
    assert names == ["remsim-B1-3/a.txt", "remsim-B1-3/b.json", "remsim-B1-3/c.jsonl"]
    assert texts == ["ä", '{\n "x": 1\n}\n', '1\n"x"\n']
    assert owners == {("", 1_700_000_000)}
