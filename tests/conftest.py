# SPDX-License-Identifier: Apache-2.0
"""What holds for every test: reproducible property tests, nothing left behind, nothing skipped."""

import gc
import logging
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from remsim.logs import reset_logging
from tests import leftovers
from tests.doubles.programs import quick_programs, stand_ins
from tests.import_shares import import_share
from tests.reference import reference as reference_file
from tests.slowest_first import SlowestFirst

# A loaded machine makes a draw slow without saying anything about the test: no deadline, no complaint about speed.
_QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("check", _QUIET, derandomize=True, max_examples=100, database=None)
settings.register_profile("long", _QUIET, max_examples=20_000)
settings.load_profile("check")

_BEFORE = pytest.StashKey[leftovers.Snapshot]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SlowestFirst | None:
    """Make ``--dist loadfile`` what tests/slowest_first.py says."""
    return SlowestFirst(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Keep the garbage collector from going through all modules and tests again and again, now and in each test."""
    gc.disable()
    try:
        import_share(session.config.args)
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def quick_start() -> Iterator[Path]:
    """Our programs start quickly: see tests/doubles/quick_start.py. The folder with their stand-ins."""
    with ExitStack() as stack:
        yield stand_ins() or stack.enter_context(quick_programs())


@pytest.fixture(scope="session")
def reference() -> Callable[..., Path]:
    """``reference("vectors", "rspro")``: a path below ``tests/reference``; the test fails if it is not there."""
    return reference_file


@pytest.fixture(autouse=True)
def _log_as_in_a_new_program() -> Iterator[None]:
    """What one test sets up for its log must not swallow what the next one looks for."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    reset_logging()


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> None:
    # This runs after the fixtures of wider scope were set up, so what they hold open is not charged to the test.
    if request.node.get_closest_marker("asyncio") is not None:
        request.getfixturevalue("_no_task_left_behind")
    request.node.stash[_BEFORE] = leftovers.snapshot()


@pytest.fixture
async def _no_task_left_behind() -> AsyncIterator[None]:
    before = leftovers.tasks()
    yield
    left = await leftovers.unfinished_tasks(before)
    if left:
        pytest.fail("tasks left behind: " + ", ".join(left), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Fail a test that leaves a thread, a socket or a child process behind once all its fixtures are gone."""
    yield
    before = item.stash.get(_BEFORE, None)
    if before is not None:
        left = leftovers.since(before)
        if left:
            pytest.fail("left behind: " + ", ".join(left), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure: what cannot be tested here must be installed, not passed over."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, which counts as a failure: {report.longrepr}"
    return report
