# SPDX-License-Identifier: Apache-2.0
"""The manual as a site: it is built, every link in it leads somewhere, and nothing comes from elsewhere."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.reference import ROOT
from tools.site import SiteError, build, configuration, pages

#: What a browser loads by itself.
LOADED = {("link", "href"), ("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src")}


class _Page(HTMLParser):
    """What one page links to, what it loads, and the places within it that others can link to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what is of interest."""
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif tag == "a" and name == "href" and value:
                self.links.add(value)
            elif (tag, name) in LOADED and value:
                self.loaded.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "tools.site", str(folder)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return folder


@pytest.fixture(scope="module")
def read(site: Path) -> dict[Path, _Page]:
    return {path: _Page(path) for path in site.rglob("*.html")}


def test_each_page_of_the_repository_is_there(site: Path) -> None:
    assert {name.removesuffix(".md").replace("README", "index") for name in pages()} <= {
        path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")
    }


def test_every_link_leads_to_a_page_and_a_place_in_it(read: dict[Path, _Page]) -> None:
    astray = []
    for path, page in read.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchors = read[target].anchors if target in read else set()
            if not target.exists() or (parts.fragment and target in read and parts.fragment not in anchors):
                astray.append(f"{path.name}: {link}")
    assert not astray


def test_nothing_is_loaded_from_elsewhere(read: dict[Path, _Page]) -> None:
    for path, page in read.items():
        for name in page.loaded:
            assert not urlsplit(name).scheme, path
            assert not urlsplit(name).netloc, path
            if path.name != "404.html":
                assert (path.parent / unquote(urlsplit(name).path)).exists(), f"{path.name}: {name}"


def test_a_page_that_no_menu_leads_to_is_refused() -> None:
    texts = pages() | {"manual/new.md": "# New\n"}
    with pytest.raises(SiteError, match=r"manual/new\.md"):
        configuration(texts, Path("docs"), Path("site"))


def test_what_is_in_the_folder_is_not_mixed_with_the_site(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(SiteError, match="not empty"):
        build(tmp_path)
