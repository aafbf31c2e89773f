# SPDX-License-Identifier: Apache-2.0
"""Key files on a real disk: modes, refusals with the command that mends them, whole replacements."""

import os
from pathlib import Path

import pytest

from remsim.pki import files
from remsim.pki.errors import KeyFileError


def mode(path: Path) -> int:
    """Permission bits."""
    return path.stat().st_mode & 0o777


def test_private_file_is_for_its_owner_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files.make_private_directory(tmp_path / "keys")
        files.write_private(tmp_path / "keys" / "key", b"secret")
        files.write_public(tmp_path / "keys" / "public", b"known")
    finally:
        os.umask(before)
    assert mode(tmp_path / "keys") == 0o700
    assert mode(tmp_path / "keys" / "key") == 0o600
    assert mode(tmp_path / "keys" / "public") == 0o644
    assert files.read_private(tmp_path / "keys" / "key") == b"secret"
    assert [path.name for path in sorted((tmp_path / "keys").iterdir())] == ["key", "public"]


def test_file_is_replaced_and_its_mode_mended(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"old")
    path.chmod(0o666)
    files.write_private(path, b"new")
    assert files.read_private(path) == b"new"


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o610, 0o666])
def test_file_that_others_can_reach_is_refused_with_the_remedy(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "a key"
    path.write_bytes(b"")
    path.chmod(bits)
    with pytest.raises(KeyFileError, match=rf"can be reached by others \(mode 0{bits:o}\)") as caught:
        files.check_private(path)
    assert caught.value.hint == f"run: chmod 600 '{path}'"


def test_directory_that_others_can_reach_is_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(KeyFileError) as caught:
        files.make_private_directory(folder)
    assert caught.value.hint == f"run: chmod 700 {folder}"


def test_foreign_owner_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    files.write_private(path, b"")
    found = path.stat()
    foreign = os.stat_result((*found[:4], 12345, *found[5:10]))
    monkeypatch.setattr(os, "fstat", lambda _descriptor: foreign)
    monkeypatch.setattr(Path, "stat", lambda _path: foreign)
    for call in (files.check_private, files.read_private):
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        with pytest.raises(KeyFileError, match="belongs to another user") as caught:
            call(path)
        assert caught.value.hint == f"run: chown 4711 {path}"
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        with pytest.raises(KeyFileError) as caught:
            call(path)
        assert caught.value.hint == "run this as its owner, for example with: sudo -u '#12345'"


def test_credentials_of_the_service_manager_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"secret")
    path.chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert files.read_private(path) == b"secret"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "")
    with pytest.raises(KeyFileError):
        files.read_private(path)


def test_what_is_missing_or_in_the_way_is_named(tmp_path: Path) -> None:
    for call in (files.read_private, files.read_public, files.check_private, files.check_private_directory):
        with pytest.raises(KeyFileError, match="No such file"):
            call(tmp_path / "nothing")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(KeyFileError, match="not a directory"):
        files.check_private_directory(tmp_path / "file")
    with pytest.raises(KeyFileError, match="cannot create"):
        files.make_private_directory(tmp_path / "file" / "below")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with pytest.raises(KeyFileError, match="is no file"):
        files.check_private(tmp_path / "folder")
    with pytest.raises(KeyFileError, match="cannot write"):
        files.write_private(tmp_path / "folder", b"")
    os.mkfifo(tmp_path / "pipe", 0o600)
    # Reading it would wait for somebody who writes.
    for call in (files.read_private, files.check_private):
        with pytest.raises(KeyFileError, match="is no file"):
            call(tmp_path / "pipe")
    files.write_private(tmp_path / "pipe", b"x")
    assert files.read_private(tmp_path / "pipe") == b"x"
    (tmp_path / "pipe").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(bytes(files.MAX_FILE_BYTES + 1))
    with pytest.raises(KeyFileError, match="larger than"):
        files.read_public(tmp_path / "long")
    (tmp_path / "long").chmod(0o600)
    files.check_private(tmp_path / "long")
