# SPDX-License-Identifier: Apache-2.0
"""Writes from the code: docs/protocol.md, states.md, settings.md, limits.md and openapi.json, pictures, man pages.

A test compares the pages with what is generated. Run it after a change: ``.venv/bin/python -m tools.generate_docs``.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from tools.architecture_picture import packages_picture, path_picture
from tools.limits_page import limits_page
from tools.man_pages import man_page, page_names
from tools.openapi_page import openapi_page
from tools.protocol_page import protocol_page
from tools.settings_page import settings_page
from tools.states_page import states_page

_ROOT: Final = Path(__file__).resolve().parent.parent
_DOCS: Final = _ROOT / "docs"

#: Each page and what makes its text.
PAGES: Final[dict[Path, Callable[[], str]]] = {
    _DOCS / "protocol.md": protocol_page,
    _DOCS / "states.md": states_page,
    _DOCS / "settings.md": settings_page,
    _DOCS / "limits.md": limits_page,
    _DOCS / "openapi.json": openapi_page,
    _DOCS / "pictures" / "packages.svg": packages_picture,
    _DOCS / "pictures" / "tpdu.svg": partial(path_picture, "The path of a TPDU"),
    _DOCS / "pictures" / "mapping.svg": partial(path_picture, "The path of a mapping"),
    **{_ROOT / "packaging" / "man" / name: partial(man_page, name) for name in page_names()},
}


def main() -> None:
    """Write all pages."""
    for path, make in PAGES.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(make(), encoding="utf-8")
        print(path.name)


if __name__ == "__main__":
    main()
