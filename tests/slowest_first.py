# SPDX-License-Identifier: Apache-2.0
"""Which process runs which test, with ``--dist loadfile``: the slowest begin first, so none is left alone at the end.

A file stays in one process: what its tests share is made once. Tests that share nothing go where there is time.
"""

from typing import Final

from xdist.scheduler.loadfile import LoadFileScheduling
from xdist.workermanage import WorkerController

_INTEGRATION: Final = "tests/integration"

#: Tests that share nothing.
ALONE: Final = (
    f"{_INTEGRATION}/test_bench.py::",
    f"{_INTEGRATION}/test_docs_commands.py::test_commands_of_page_do_what_it_shows",
    f"{_INTEGRATION}/test_rest_schema.py::",
)
#: In this order. What is not in here comes later, files with many tests first.
SLOWEST: Final = (
    f"{_INTEGRATION}/test_guided.py",
    f"{_INTEGRATION}/test_rest_schema.py",
    *(f"{ALONE[1]}[docs/manual/{page}.md]" for page in ("operation", "security", "readers", "virtual-reader")),
    ALONE[1],
    f"{_INTEGRATION}/test_bench.py",
    f"{_INTEGRATION}/test_virtual_reader.py",
    f"{_INTEGRATION}/test_client_programs.py",
    f"{_INTEGRATION}/test_startup.py",
    f"{_INTEGRATION}/test_simtrace2_usb.py",
    f"{_INTEGRATION}/test_kill_loop.py",
    f"{_INTEGRATION}/test_redaction_end_to_end.py",
    f"{_INTEGRATION}/test_server_durability.py",
    f"{_INTEGRATION}/test_held_sessions.py",
    f"{_INTEGRATION}/test_hosts_in_trouble.py",
)


def _rank(scope: str) -> int:
    return next((rank for rank, prefix in enumerate(SLOWEST) if scope.startswith(prefix)), len(SLOWEST))


class SlowestFirst(LoadFileScheduling):
    """``loadfile`` but for ``ALONE`` and ``SLOWEST``."""

    _is_ordered = False

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(ALONE) else super()._split_scope(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        if not self._is_ordered:
            for scope in sorted(self.workqueue, key=_rank):
                self.workqueue.move_to_end(scope)
            self._is_ordered = True
        super()._assign_work_unit(node)
