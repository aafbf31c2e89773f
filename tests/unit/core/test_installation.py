# SPDX-License-Identifier: Apache-2.0
"""Hints on what to install name a command that works where the package came from."""

import json
import re
import shlex
import sys
from importlib import metadata
from pathlib import Path

import pytest

from remsim.core import installation
from remsim.core.installation import install_command, install_packages
from tests.reference import ROOT


def package(folder: Path, origin: object) -> metadata.Distribution:
    """An installed remsim with this direct_url.json, None for none."""
    info = folder / "remsim-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.3\nName: remsim\nVersion: 1\n"
        "Requires-Dist: rich>=15\n"
        "Requires-Dist: libusb1>=3.4; extra == 'usb'\n"
        'Requires-Dist: pyudev>=0.24.5; extra == "usb"\n'
        "Requires-Dist: cryptography>=50; extra == 'pki'\n"
    )
    if origin is not None:
        (info / "direct_url.json").write_text(origin if isinstance(origin, str) else json.dumps(origin))
    return metadata.PathDistribution(info)


def arguments(command: str) -> list[str]:
    words = shlex.split(command)
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
    return words[4:]


def test_checkout_is_asked_for_by_its_folder(tmp_path: Path) -> None:
    url = ROOT.as_uri()
    editable = package(tmp_path, {"url": url, "dir_info": {"editable": True}})
    assert arguments(install_command("usb", "pki", package=editable)) == ["-e", f"{ROOT}[usb,pki]"]


def test_folder_that_was_copied_is_installed_again(tmp_path: Path) -> None:
    made = package(tmp_path, {"url": ROOT.as_uri(), "dir_info": {}})
    assert arguments(install_command("usb", package=made)) == [f"{ROOT}[usb]"]


def test_package_from_an_index_is_asked_for_by_name(tmp_path: Path) -> None:
    assert arguments(install_command("usb", package=package(tmp_path, None))) == ["remsim[usb]"]


@pytest.mark.parametrize(
    "origin",
    [
        {"url": "file:///tmp/remsim-1.whl", "archive_info": {}},
        {"url": "file:///a/folder/that/is/gone", "dir_info": {}},
        {"url": "https://example.org/remsim.git", "dir_info": {}},
        "not JSON",
        [],
    ],
)
def test_package_from_elsewhere_names_the_libraries(tmp_path: Path, origin: object) -> None:
    assert arguments(install_command("usb", package=package(tmp_path, origin))) == ["libusb1>=3.4", "pyudev>=0.24.5"]


def test_sources_that_were_never_installed_point_at_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(installation, "distribution", missing)
    assert install_command("usb") == "install the libraries of the extras usb: pyproject.toml lists them"


def test_names_are_quoted_for_the_shell() -> None:
    assert install_packages("a>=1").endswith("'a>=1'")


def test_no_hint_writes_such_a_command_itself() -> None:
    others = [path for path in (ROOT / "src").rglob("*.py") if path.name != "installation.py"]
    assert not [path for path in others if re.search(r"pip install|remsim\[", path.read_text(encoding="utf-8"))]
