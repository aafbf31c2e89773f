# SPDX-License-Identifier: Apache-2.0
"""Manual pages: they have all commands and options, and groff has nothing against them."""

import re
import subprocess

import pytest

from remsim.cli.main import COMMANDS
from tools.man_pages import man_page, page_names


@pytest.mark.parametrize("name", page_names())
def test_groff_reads_it_without_a_warning(name: str) -> None:
    shown = subprocess.run(
        ["groff", "-ww", "-man", "-Tutf8", "-P-cbou"], input=man_page(name), capture_output=True, text=True, check=True
    )
    assert shown.stderr == ""
    assert "EXIT STATUS" in shown.stdout


def _lines(name: str) -> str:
    return man_page(name).replace("\\-", "-")


def test_there_is_one_for_each_command() -> None:
    assert page_names() == ["remsim.1", *(f"remsim-{command}.1" for command in COMMANDS)]
    assert set(re.findall(r"^\.BR remsim-(\w+) \(1\)$", _lines("remsim.1"), re.MULTILINE)) == set(COMMANDS)


def test_commands_below_a_command_are_in_its_page() -> None:
    headings = re.findall(r"^\.SS (.*)$", _lines("remsim-pki.1"), re.MULTILINE)
    assert {"pki init", "pki issue", "pki renew", "pki revoke", "pki show", "pki code"} <= set(headings)
    assert {"ctl map", "ctl policy check"} <= set(re.findall(r"^\.SS (.*)$", _lines("remsim-ctl.1"), re.MULTILINE))


def test_options_have_their_values_and_texts() -> None:
    text = _lines("remsim-bankd.1")
    found = re.search(r"^\.TP\n\\fB--card-time-ms\\fR \\fIMS\\fR\n(.+)$", text, re.MULTILINE)
    assert found is not None
    assert len(found[1]) > 10
    assert "\\fB--auto\\fR\n" in text


def test_no_line_is_taken_for_a_request_of_roff() -> None:
    known = {".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".BR", ".I", ".br"}
    for name in page_names():
        requests = {line.split()[0] for line in man_page(name).splitlines() if line.startswith((".", "'"))}
        assert {each for each in requests if not each.startswith('.\\"')} <= known
