# SPDX-License-Identifier: Apache-2.0
"""Configuration files on a real disk: readable, broken, absent."""

from pathlib import Path

import pytest

from remsim.config import ClientConfig, load_config
from remsim.config.files import MAX_FILE_BYTES
from remsim.core.errors import ConfigError
from remsim.core.ids import ClientSlot


def test_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "client.toml"
    file.write_text('client = "7:1"  # über', encoding="utf-8")
    assert load_config(ClientConfig, environ={}, file=file).client == ClientSlot(7, 1)


def test_file_with_a_mark_at_its_beginning_is_read(tmp_path: Path) -> None:
    file = tmp_path / "client.toml"
    file.write_text('client = "7:1"', encoding="utf-8-sig")
    assert load_config(ClientConfig, environ={}, file=file).client == ClientSlot(7, 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a =", "client.toml: Invalid value"),
        (b"a = 1\na = 2", "client.toml: Cannot overwrite a value"),
        (b"name = '\xff'", "client.toml: byte 8 is not UTF-8"),
        ("name = 'x'".encode("utf-16"), "client.toml: it is UTF-16 text"),
        ("name = 'x'".encode("utf-16-be"), "client.toml: it is UTF-16 text"),
        (b"a = " + b"[" * 50_000, "client.toml: nested too deeply"),
        (b"#" * (MAX_FILE_BYTES + 1), "larger than"),
        (b"client = " + b"9" * 5000, "client.toml: Exceeds the limit"),
    ],
)
def test_broken_file_is_told(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "client.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(ClientConfig, environ={}, file=file)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(ClientConfig, environ={}, file=tmp_path)


def test_absent_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(ClientConfig, environ={}, file=tmp_path / "absent")
