# SPDX-License-Identifier: Apache-2.0
"""The project's own Python sources as data: which modules there are, and who imports whom.

Read from the text by ``ast``; nothing is imported.
"""

import ast
import gc
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.reference import ROOT

SRC = ROOT / "src"
PACKAGE = SRC / "remsim"

#: Folders with sources of ours.
FOLDERS = ("src", "tests", "tools", "bench", "stubs")


@dataclass(frozen=True, slots=True)
class Import:
    """One name brought in by an import statement of ``importer``."""

    importer: str
    #: The module named: ``remsim.wire.messages.ber``, ``asyncio``.
    module: str
    line: int
    #: At the top of the module, not inside a function: it takes effect when the module is imported.
    at_import: bool

    @property
    def top(self) -> str:
        """The first part of ``module``: the distribution's or the standard library's name for it."""
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.module}"


def module_name(path: Path) -> str:
    """The dotted name of a file below ``src``; a package's ``__init__.py`` bears the package's name."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parse(text: str) -> ast.Module:
    """The syntax of a text. The garbage collector is kept from going through what it is made of again and again."""
    is_on = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(text)
    finally:
        if is_on:
            gc.enable()


@cache
def tree(path: Path) -> ast.Module:
    """The syntax of a module; not to be changed, because all who ask get the same."""
    return parse(path.read_text(encoding="utf-8"))


@cache
def nodes(module: ast.AST) -> tuple[ast.AST, ...]:
    """All that ``ast.walk`` comes to."""
    return tuple(ast.walk(module))


@dataclass(frozen=True, slots=True)
class Outline:
    """What a file says of itself."""

    is_described: bool
    #: Its functions and their lines, without their docstrings.
    functions: tuple[tuple[str, int], ...]


@cache
def outline(path: Path) -> Outline:
    """The outline of any file; its syntax is not kept."""
    syntax = parse(path.read_text(encoding="utf-8"))
    found = [node for node in ast.walk(syntax) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return Outline(bool(ast.get_docstring(syntax)), tuple((node.name, _code_lines(node)) for node in found))


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From ``def`` to its end."""
    length = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


@cache
def modules() -> dict[str, Path]:
    """All modules of the package, by name."""
    return {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def python_files() -> list[Path]:
    """All Python files of the project."""
    return [
        path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py*")) if path.suffix in {".py", ".pyi"}
    ]


@cache
def tracked() -> tuple[Path, ...]:
    """Text files under version control, and new ones that will be, but for the licence."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = {name for name in listing.split("\0") if name and name != "LICENSE"}
    return tuple(sorted(ROOT / name for name in names if (ROOT / name).is_file()))


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _statements(node: ast.AST, *, at_import: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, at_import
        elif isinstance(child, ast.expr) or _is_type_checking(child):
            # No expression holds a statement, and most nodes are expressions.
            continue
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from _statements(child, at_import=at_import and not inside)


@cache
def imports() -> tuple[Import, ...]:
    """Every import in the package, but for those that only a type checker sees."""
    return tuple(
        Import(name, module, statement.lineno, at_import)
        for name, path in modules().items()
        for statement, at_import in _statements(tree(path), at_import=True)
        for module in _named(statement)
    )


def _named(statement: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names)
        return
    base = statement.module or ""
    for alias in statement.names:
        below = f"{base}.{alias.name}"
        yield below if below in modules() else base


def reachable(start: set[str], *, at_import_only: bool) -> set[str]:
    """The package's modules that ``start`` import, directly or not, ``start`` and the enclosing packages included."""
    seen: set[str] = set()
    todo = list(start)
    while todo:
        name = todo.pop()
        if name in seen or name not in modules():
            continue
        seen.add(name)
        parent = name.rpartition(".")[0]
        if parent:
            todo.append(parent)
        todo += [
            found.module for found in imports() if found.importer == name and (found.at_import or not at_import_only)
        ]
    return seen
