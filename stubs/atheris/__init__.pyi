# SPDX-License-Identifier: Apache-2.0
"""What we use of atheris, which carries no types of its own."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

def instrument_imports(
    include: Sequence[str] | None = None, exclude: Sequence[str] | None = None, enable_loader_override: bool = True
) -> AbstractContextManager[object]: ...
def Setup(argv: list[str], test_one_input: Callable[[bytes], None]) -> list[str]: ...
def Fuzz() -> None: ...
