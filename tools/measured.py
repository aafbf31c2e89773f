# SPDX-License-Identifier: Apache-2.0
"""A plug-in for pytest: ``-p tools.measured`` measures the coverage of the processes that run tests, and only theirs.

Programs that tests start are not measured: many of them are ended by a signal, so what they write depends on timing,
and measuring makes them start twice as slowly. A line that must be covered is reached by a test in its own process.

With xdist the workers are measured, and each writes a file of its own. The plug-in is loaded, and starts, before
anything of ours is imported, because the lines at the top of a module run only once.
"""

import coverage
import pytest

_measurement = coverage.Coverage(data_suffix=True)
_measurement.start()


def pytest_configure(config: pytest.Config) -> None:
    """Stop in the process that only hands out tests to workers."""
    if config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput"):
        _measurement.stop()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Write what this process has covered."""
    if coverage.Coverage.current() is _measurement:
        _measurement.stop()
        _measurement.save()
