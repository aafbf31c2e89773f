# SPDX-License-Identifier: Apache-2.0
"""A plug-in for pytest: ``-p tools.measured`` measures what must be covered, in the tests that must cover it.

Measuring makes code three times as slow, so only the files that ``tools/check_coverage.py`` guards are measured, and
only while modules are imported and while the tests run that belong to these files (``MEASURED``). None of these tests
switches greenlets, so the measurement need not ask for the current one at each line.

Programs that tests start are not measured: many of them are ended by a signal, so what they write depends on timing. A
line that must be covered is reached by a test in its own process.

With xdist the workers are measured, and each writes a file of its own. The plug-in is loaded, and starts, before
anything of ours is imported, because the lines at the top of a module run only once.
"""

from collections.abc import Generator

import coverage
import pytest

from tools.check_coverage import DATA_FILE, gated_files

#: Below tests/: the tests whose lines count. They mirror what ``tools/check_coverage.py`` guards.
MEASURED = (
    *("unit/wire/", "unit/card/", "unit/policy/", "unit/emulators/simtrace2/", "vectors/"),
    *("unit/server/core/", "unit/bankd/core/", "unit/client/core/"),
    *("unit/test_redaction.py", "unit/core/test_identity.py", "unit/pki/test_codes.py"),
)
_PREFIXES = tuple(f"tests/{path}" for path in MEASURED)

# Nothing but the gate's own settings: those in pyproject.toml are for a look at everything.
_measurement = coverage.Coverage(
    config_file=False, branch=True, data_file=str(DATA_FILE), data_suffix=True, include=[str(f) for f in gated_files()]
)
_measurement.set_option("run:disable_warnings", ["no-data-collected"])
_measurement.start()


def pytest_configure(config: pytest.Config) -> None:
    """Stop in the process that only hands out tests to workers."""
    if config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput"):
        _measurement.stop()


def pytest_collection_finish() -> None:
    """Stop when all test modules, and what they test, have been imported."""
    _measurement.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure the tests that count."""
    if not item.nodeid.startswith(_PREFIXES):
        return (yield)
    _measurement.start()
    try:
        return (yield)
    finally:
        _measurement.stop()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what this process has covered: now, because xdist waits for a worker's session, not for its exit."""
    config = session.config
    if config.getoption("dist", "no") == "no" or hasattr(config, "workerinput"):
        _measurement.save()
