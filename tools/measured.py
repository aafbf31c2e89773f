# SPDX-License-Identifier: Apache-2.0
"""A plug-in for pytest: ``-p tools.measured`` measures what must be covered, in the tests that must cover it.

Measuring makes code three times as slow, so only the files that ``tools/check_coverage.py`` guards are measured, and
only while they are imported and while the tests run that belong to these files (``MEASURED``). None of these tests
switches greenlets, so the measurement need not ask for the current one at each line.

Programs that tests start are not measured: many of them are ended by a signal, so what they write depends on timing. A
line that must be covered is reached by a test in its own process.

With xdist the workers are measured, and each writes a file of its own. The plug-in is loaded before anything of ours is
imported, because the lines at the top of a module run only once.
"""

import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

import coverage
import pytest

from tools.check_coverage import DATA_FILE, ROOT, gated_files

#: Below tests/: the tests whose lines count. They mirror what ``tools/check_coverage.py`` guards.
MEASURED = (
    *("unit/wire/", "unit/card/", "unit/policy/", "unit/emulators/simtrace2/", "vectors/"),
    *("unit/server/core/", "unit/bankd/core/", "unit/client/core/"),
    *("unit/test_redaction.py", "unit/core/test_identity.py", "unit/pki/test_codes.py"),
)
#: Of these, tests that run long and reach no line or branch that the others do not reach. They run without measurement.
NOT_MEASURED = (
    *("unit/emulators/simtrace2/test_card_end_to_end.py", "unit/bankd/core/test_holds_many.py"),
    *("unit/wire/link/test_engine_void.py", "vectors/test_client_invalid_frames.py", "vectors/test_strict.py"),
    *("vectors/test_coverage_of_messages.py", "vectors/test_frames.py", "vectors/test_simtrace2_host.py"),
)
if gone := [path for path in NOT_MEASURED if not (ROOT / "tests" / path).is_file()]:
    raise pytest.UsageError(f"tools/measured.py names tests that are not there: {', '.join(gone)}")
_PREFIXES, _OTHERS = (tuple(f"tests/{path}" for path in paths) for paths in (MEASURED, NOT_MEASURED))

_FILES = {str(path) for path in gated_files()}

# Nothing but the gate's own settings: those in pyproject.toml are for a look at everything.
_measurement = coverage.Coverage(
    config_file=False, branch=True, data_file=str(DATA_FILE), data_suffix=True, include=sorted(_FILES)
)
_measurement.set_option("run:disable_warnings", ["no-data-collected"])
#: Imports within imports and within tests that are measured already.
_depth = 0


@contextmanager
def _measured() -> Iterator[None]:
    global _depth  # noqa: PLW0603  # there is one measurement in a process
    if _depth == 0:
        _measurement.start()
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if _depth == 0:
            _measurement.stop()


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        with _measured():
            super().exec_module(module)


class _Finder(MetaPathFinder):
    """Finds what must be covered, and has its import measured."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("remsim."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin not in _FILES:
            return None
        spec.loader = _Loader(fullname, spec.origin)
        return spec


sys.meta_path.insert(0, _Finder())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure the tests that count."""
    if not item.nodeid.startswith(_PREFIXES) or item.nodeid.startswith(_OTHERS):
        return (yield)
    with _measured():
        return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what this process has covered: now, because xdist waits for a worker's session, not for its exit."""
    config = session.config
    if config.getoption("dist", "no") == "no" or hasattr(config, "workerinput"):
        _measurement.save()
