# SPDX-License-Identifier: Apache-2.0
"""``remsim doctor bankd`` beside a real pcscd, in namespaces of its own."""

import json
import re
from pathlib import Path

import pytest

from tests.doubles.pcscd import VPCD_PORTS, PcscdNamespace
from tests.doubles.programs import remsim

SOCKET = "/run/pcscd/pcscd.comm"


def findings(namespace: PcscdNamespace, *words: str, prefix: tuple[str, ...] = ()) -> list[dict[str, str]]:
    done = namespace.run([*prefix, *remsim("doctor", "bankd", "--json", *words)], timeout_s=60)
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert done.returncode == int(not report["ok"])
    found: list[dict[str, str]] = [row for row in report["findings"] if row["check"] == "pcscd"]
    return found


def wait_for_card(namespace: PcscdNamespace) -> None:
    """pcscd looks at its readers from time to time, and sees a card a moment after it was inserted."""
    while not re.search(r"^0\s+Yes", namespace.run(["opensc-tool", "--list-readers"]).stdout, re.MULTILINE):
        pass


def test_readers_of_a_running_pcscd_are_told(pcscd_namespace: PcscdNamespace, tmp_path: Path) -> None:
    argv = remsim("uicc", "--vpcd", f"127.0.0.1:{VPCD_PORTS[0]}")
    pcscd_namespace.program(argv).wait_for("card_inserted")
    wait_for_card(pcscd_namespace)
    (found,) = findings(pcscd_namespace, "--state", str(tmp_path / "bank"))
    assert found["outcome"] == "ok"
    assert found["text"].startswith("pcscd ")
    assert found["text"].endswith(": 2 readers, 1 with a card")


def test_card_in_use_is_not_disturbed(pcscd_namespace: PcscdNamespace, tmp_path: Path) -> None:
    pcscd_namespace.program(remsim("uicc", "--vpcd", f"127.0.0.1:{VPCD_PORTS[0]}")).wait_for("card_inserted")
    wait_for_card(pcscd_namespace)
    before = len(pcscd_namespace.pcscd.stdout.lines)
    findings(pcscd_namespace, "--state", str(tmp_path / "bank"))
    said = pcscd_namespace.pcscd.stdout.lines[before:]
    assert not [line for line in said if "SCardConnect" in line or "powerState" in line.lower()]


def test_slots_of_a_file_are_compared_with_the_readers(pcscd_namespace: PcscdNamespace, tmp_path: Path) -> None:
    config = tmp_path / "bankd.toml"
    config.write_text(
        'slots = 2\n[[slot]]\nslot = 0\nreader = "Virtual PCD 00 00"\n[[slot]]\nslot = 1\nreader = "ACME 00 00"\n'
    )
    good, missing = findings(pcscd_namespace, "--config", str(config), "--state", str(tmp_path / "bank"))
    assert good["outcome"] == "ok"
    assert (missing["outcome"], missing["text"]) == ("note", "slot 1: no reader matches ACME 00 00")


def test_pcscd_that_does_not_run_is_told(pcscd_namespace: PcscdNamespace, tmp_path: Path) -> None:
    pcscd_namespace.pcscd.stop()
    (gone,) = findings(pcscd_namespace, "--state", str(tmp_path / "bank"))
    assert (gone["outcome"], gone["mend"]) == ("problem", "systemctl enable --now pcscd.socket")
    assert gone["text"] == f"pcscd does not run: there is no {SOCKET}"


def test_pcscd_that_was_killed_is_told(pcscd_namespace: PcscdNamespace, tmp_path: Path) -> None:
    pcscd_namespace.pcscd.kill()
    (gone,) = findings(pcscd_namespace, "--state", str(tmp_path / "bank"))
    assert gone["text"] == f"pcscd does not run: nothing listens at {SOCKET}"


@pytest.mark.parametrize(("path", "mode", "shown"), [(SOCKET, "440", " (mode 0440)"), ("/run/pcscd", "000", "")])
def test_socket_without_rights_is_told(
    pcscd_namespace: PcscdNamespace, tmp_path: Path, path: str, mode: str, shown: str
) -> None:
    """Permissions count only for who has no privileges, so those are given up."""
    assert pcscd_namespace.run(["chmod", mode, path]).returncode == 0
    unprivileged = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    (found,) = findings(pcscd_namespace, "--state", str(tmp_path / "bank"), prefix=unprivileged)
    assert found["outcome"] == "problem"
    assert found["text"] == f"the user root has no right to use {SOCKET}{shown}"
    assert "0666" in found["mend"]
