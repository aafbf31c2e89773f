# SPDX-License-Identifier: Apache-2.0
"""Property tests get more time: on a loaded machine a hundred examples of many steps take minutes."""

import pytest

#: For one test. A test that hangs is still noticed.
TIMEOUT_S = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the time of every test below this folder that has none of its own."""
    for item in items:
        if item.nodeid.startswith("tests/property/") and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
