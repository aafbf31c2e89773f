# SPDX-License-Identifier: Apache-2.0
from collections import OrderedDict

import pytest
from xdist.remote import Producer
from xdist.workermanage import WorkerController

class LoadFileScheduling:
    workqueue: OrderedDict[str, dict[str, bool]]
    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None: ...
    def _split_scope(self, nodeid: str) -> str: ...
    def _assign_work_unit(self, node: WorkerController) -> None: ...
