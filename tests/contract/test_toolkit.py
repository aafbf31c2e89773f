# SPDX-License-Identifier: Apache-2.0
"""Both ways to handle keys: what one makes, the other understands."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remsim.pki import files, signing, toolkit
from remsim.pki.errors import CertificateError, KeyFileError, PkiError, ToolError
from remsim.pki.toolkit import CryptographyToolkit, OpensslToolkit, Toolkit, choose_toolkit

NOW = datetime.now(UTC).replace(microsecond=0)

both = pytest.mark.parametrize("tool", [CryptographyToolkit(), OpensslToolkit()], ids=lambda tool: str(tool.name))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key in a file."""
    path = tmp_path / "key.pem"
    files.write_private(path, signing.make_key())
    return path


@both
def test_key_and_request_are_good(tool: Toolkit, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    files.write_private(path, tool.make_key())
    assert signing.read_request(tool.make_request(path)).public_bytes


@both
def test_key_is_found_in_front_of_its_certificate(tool: Toolkit, key: Path) -> None:
    request = tool.make_request(key)
    authority = signing.make_authority(key.read_bytes(), name="x", serial=1, now=NOW, lifetime=timedelta(1))
    files.write_private(key, key.read_bytes() + authority)
    assert signing.read_request(tool.make_request(key)) == signing.read_request(request)
    assert signing.is_signed_by(authority, tool.sign(key, b"content"), b"content")
    assert not signing.is_signed_by(authority, tool.sign(key, b"content"), b"other content")


@both
def test_revocation_list_is_checked(tool: Toolkit, key: Path, tmp_path: Path) -> None:
    authority = signing.make_authority(key.read_bytes(), name="x", serial=1, now=NOW, lifetime=timedelta(1))
    other_key = signing.make_key()
    same_name = signing.make_authority(other_key, name="x", serial=1, now=NOW, lifetime=timedelta(1))
    other_name = signing.make_authority(other_key, name="y", serial=1, now=NOW, lifetime=timedelta(1))
    path = tmp_path / "authority.pem"
    path.write_bytes(authority)
    good, forged, foreign = (
        signing.Issuer(private, certificate).revocation_list([], number=1, now=NOW)
        for private, certificate in [(key.read_bytes(), authority), (other_key, same_name), (other_key, other_name)]
    )
    assert tool.is_signed_by(good, path)
    assert not tool.is_signed_by(forged, path)
    assert not tool.is_signed_by(foreign, path)
    with pytest.raises(CertificateError):
        tool.is_signed_by(b"nothing", path)


@both
def test_key_that_others_can_read_is_refused(tool: Toolkit, key: Path) -> None:
    key.chmod(0o640)
    calls: list[Callable[[], bytes]] = [lambda: tool.make_request(key), lambda: tool.sign(key, b"")]
    for call in calls:
        with pytest.raises(KeyFileError) as caught:
            call()
        assert caught.value.hint == f"run: chmod 600 {key}"


@both
def test_what_is_no_key_is_refused(tool: Toolkit, key: Path) -> None:
    files.write_private(key, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(PkiError):
        tool.make_request(key)
    files.write_private(key, b"nothing")
    with pytest.raises(PkiError):
        tool.sign(key, b"")


def test_program_that_is_missing_or_fails_is_named() -> None:
    with pytest.raises(ToolError, match="cannot run no-such-program") as caught:
        OpensslToolkit("no-such-program").make_key()
    assert caught.value.hint
    with pytest.raises(KeyFileError, match="openssl genpkey failed"):
        OpensslToolkit("false").make_key()


def test_package_is_preferred_and_the_program_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_toolkit().name == "cryptography"
    monkeypatch.setattr(toolkit, "find_spec", lambda _name: None)
    assert choose_toolkit().name == "openssl"
    monkeypatch.setattr(toolkit, "which", lambda _name: None)
    with pytest.raises(ToolError, match="neither"):
        choose_toolkit()


def test_program_needs_no_package(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "remsim.pki.signing", raising=False)
    tool = OpensslToolkit()
    assert tool.make_key().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert tool.make_request(key).startswith(b"-----BEGIN CERTIFICATE REQUEST-----")
