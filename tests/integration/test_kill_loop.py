# SPDX-License-Identifier: Apache-2.0
"""Each program ended by SIGKILL under load, once; ``python -m tests.kills`` does it two hundred times."""

from pathlib import Path

from tests.kills.loop import KillLoop, Victim


def test_nothing_is_lost_but_what_is_the_victims_own(tmp_path: Path) -> None:
    with KillLoop(tmp_path, seed=7) as loop:
        report = loop.run(len(Victim))
    assert set(report.kills.values()) == {1}
    assert report.failures[Victim.SERVER] == 0
    assert report.answers > 0
