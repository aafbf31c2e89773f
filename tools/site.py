# SPDX-License-Identifier: Apache-2.0
"""Builds the manual as a site, from README, docs and changelog: ``.venv/bin/python -m tools.site FOLDER``.

The pages are plain Markdown that is read in the repository, too. So they are copied first, and links that lead out of
``docs`` are turned: those to README and changelog lead to their pages, those to sources become their names. The site
needs no server and no network: it can be opened as files.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from posixpath import normpath
from typing import Final

_ROOT: Final = Path(__file__).resolve().parent.parent
_LINK: Final = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")
#: A block that is a file: its language and name.
_FENCE: Final = re.compile(r"^```([a-z]+) (\S+)$", re.MULTILINE)
_ANY_TARGET: Final = re.compile(r"(?<=\]\()docs/")

#: What is in the menu, in its order; a list is a part with a name.
_MENU: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("", ("index.md",)),
    (
        "Manual",
        (
            *("manual.md", "manual/readers.md", "manual/network.md", "manual/security.md", "manual/operation.md"),
            *(
                "manual/slots.md",
                "manual/hardware.md",
                "manual/virtual-reader.md",
                "manual/failures.md",
                "manual/database.md",
            ),
            *("manual/far-away.md", "manual/page.md", "manual/traces.md", "manual/rest.md", "manual/moving.md"),
        ),
    ),
    ("Tables", ("settings.md", "limits.md", "compatibility.md", "performance.md", "changelog.md")),
    (
        "How it works",
        ("architecture.md", "protocol.md", "states.md", "design-notes.md", "development.md", "reference/README.md"),
    ),
)


class SiteError(Exception):
    """The site cannot be built."""


def pages() -> dict[str, str]:
    """The Markdown of each page, by its name in the site; links lead to pages of the site, or are gone."""
    docs = _ROOT / "docs"
    found = {path.relative_to(docs).as_posix(): path.read_text(encoding="utf-8") for path in docs.rglob("*.md")}
    readme = (_ROOT / "README.md").read_text(encoding="utf-8")
    found["index.md"] = _ANY_TARGET.sub("", readme).replace("](CHANGELOG.md)", "](changelog.md)")
    found["changelog.md"] = (_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return {name: _turned(name, text) for name, text in found.items()}


def _turned(name: str, text: str) -> str:
    def turn(link: re.Match[str]) -> str:
        target = link["target"]
        if not target or "://" in target:
            return link[0]
        place = normpath(f"docs/{Path(name).parent.as_posix()}/{target}")
        if place in ("README.md", "CHANGELOG.md"):
            page = "index.md" if place == "README.md" else "changelog.md"
            up = "../" * name.count("/")
            return f"[{link['text']}]({up}{page}{link['anchor'] or ''})"
        if place.startswith("docs/"):
            return link[0]
        return link["text"] if link["text"].startswith("`") else f"{link['text']} (`{place}`)"

    return _FENCE.sub(r'```\1 title="\2"', _LINK.sub(turn, text))


def _title(text: str) -> str:
    return next(line[2:].strip() for line in text.splitlines() if line.startswith("# "))


def configuration(texts: Mapping[str, str], source: Path, target: Path) -> str:
    """The settings of the site generator. Raises SiteError for a page that no menu leads to."""
    listed = {name for _, names in _MENU for name in names}
    rest = sorted(name for name in texts if name not in listed and not name.startswith("reference/"))
    if rest or listed - set(texts):
        raise SiteError(f"the menu of tools/site.py lacks, or has too many of: {rest or sorted(listed - set(texts))}")
    parts = []
    for part, names in _MENU:
        entries = ", ".join(f'{{ "{_title(texts[name])}" = "{name}" }}' for name in names)
        if part == "How it works":
            further = sorted(name for name in texts if name.startswith("reference/") and name not in names)
            entries += "".join(f', {{ "{_title(texts[name])}" = "{name}" }}' for name in further)
        parts.append(f'  {{ "{part}" = [{entries}] }},' if part else f"  {entries},")
    menu = "\n".join(parts)
    return f"""[project]
site_name = "remsim"
docs_dir = "{source.as_posix()}"
site_dir = "{target.as_posix()}"
use_directory_urls = false
copyright = "Apache-2.0"
nav = [
{menu}
]

[project.theme]
language = "en"
font = false
features = ["navigation.sections", "navigation.path", "navigation.top", "navigation.footer", "search.highlight"]

[[project.theme.palette]]
media = "(prefers-color-scheme: light)"
scheme = "default"

[[project.theme.palette]]
media = "(prefers-color-scheme: dark)"
scheme = "slate"

[project.markdown_extensions]
tables = {{}}
toc.permalink = true
pymdownx.highlight.pygments_lang_class = true
pymdownx.superfences = {{}}
"""


def build(target: Path) -> None:
    """Write the site into a folder, which must be empty or not there. Raises SiteError."""
    if target.exists() and any(target.iterdir()):
        raise SiteError(f"{target} is not empty")
    with tempfile.TemporaryDirectory() as folder:
        source, built = Path(folder, "docs"), Path(folder, "site")
        shutil.copytree(_ROOT / "docs", source)
        texts = pages()
        for name, text in texts.items():
            (source / name).write_text(text, encoding="utf-8")
        settings = Path(folder, "zensical.toml")
        settings.write_text(configuration(texts, Path("docs"), Path("site")), encoding="utf-8")
        command = [str(Path(sys.executable).with_name("zensical")), "build", "--clean", "--strict", "-f", str(settings)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SiteError(f"zensical says: {(done.stdout + done.stderr).strip()}")
        shutil.copytree(built, target, dirs_exist_ok=True)


def main() -> int:
    """Build the site into the folder that is named."""
    if len(sys.argv) != 2:
        print("usage: python -m tools.site FOLDER", file=sys.stderr)
        return 2
    try:
        build(Path(sys.argv[1]))
    except SiteError as error:
        print(f"site: {error}", file=sys.stderr)
        return 1
    print(f"the site is in {sys.argv[1]}: open {sys.argv[1]}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
