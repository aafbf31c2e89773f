# SPDX-License-Identifier: Apache-2.0
"""The kinds of events that the server tells of are those that it makes."""

import re

from remsim.core.event_kinds import KINDS
from tests.reference import ROOT


def test_each_kind_is_made_somewhere() -> None:
    paths = (ROOT / "src/remsim/server/core").glob("*.py")
    sources = "".join(path.read_text("utf-8") for path in paths if path.stem != "event_feed")
    assert not [kind for kind in KINDS if not re.search(rf'"{kind}"', sources)]
