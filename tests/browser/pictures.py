# SPDX-License-Identifier: Apache-2.0
"""Pictures of the page: kept where they are wanted. What is on those of the manual must be on today's page.

That is compared by what the page consists of, and by its style sheet, so that neither fonts nor the browser's version
matter.
"""

import hashlib
import os
from difflib import unified_diff
from pathlib import Path
from typing import Final

from playwright.async_api import Page

from remsim.server import page as page_of_server
from tests.reference import ROOT
from tools.page_pictures import OUTLINES, PICTURES

#: The names of the manual's pictures, by those of the tests'.
_OF_THE_MANUAL: Final = {source: name for name, (source, _) in PICTURES.items()}
#: What is another one each time, or comes after a while: ages, facts (not their names), the chart, commands, what
#: happened, problems.
_CHANGING: Final = (
    "time, .at, .facts dd, #health p, #latency, #trace-rows, .happened tbody, #problems, #toasts, script, style"
)
#: A line for each element that is seen: its depth, name, classes and own words; of numbers only that there is one.
_OUTLINE: Final = """changing => {
  const lines = [];
  const look = (element, depth) => {
    if (element.matches(changing) || !element.checkVisibility({ visibilityProperty: true })) return;
    const own = [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE).map(node => node.textContent);
    const words = own.join(' ').replace(/\\d+/g, '#').split(/\\s+/).filter(word => word).join(' ');
    const name = [element.localName, ...element.classList].join('.');
    lines.push('  '.repeat(depth) + (words ? `${name} ${words}` : name));
    for (const child of element.children) look(child, depth + 1);
  };
  look(document.body, 0);
  return lines.join('\\n') + '\\n';
}"""
#: What is gone after ten seconds is in no picture of the manual.
_HIDE: Final = "(all, visibility) => all.forEach(one => { one.style.visibility = visibility })"


def are_pictures_wanted() -> bool:
    """Whether it matters what the page looks like, and not only that it is right."""
    return bool(os.environ.get("REMSIM_SCREENSHOTS"))


async def picture(page: Page, name: str) -> None:
    """Keep what the page looks like, where pictures are wanted; what is on one of the manual must be on the page."""
    size = page.viewport_size or {"width": 0, "height": 0}
    source = f"{name}-{size['width']}x{size['height']}.png"
    ours = _OF_THE_MANUAL.get(source)
    if are_pictures_wanted():
        file = Path(os.environ["REMSIM_SCREENSHOTS"]) / source
        if ours is not None:
            file.with_suffix(".txt").write_text(await outline(page), encoding="utf-8")
            await page.locator("#toasts").evaluate_all(_HIDE, "hidden")
        await page.screenshot(path=file, animations="disabled")
        await page.locator("#toasts").evaluate_all(_HIDE, "")
    elif ours is not None:
        kept = (ROOT / OUTLINES / ours).with_suffix(".txt").read_text(encoding="utf-8")
        found = await outline(page)
        hint = f"the manual's picture {ours} is not of today's page: .venv/bin/python -m tools.page_pictures"
        assert found == kept, "\n".join([hint, *unified_diff(kept.splitlines(), found.splitlines(), n=1, lineterm="")])


async def outline(page: Page) -> str:
    """What the page consists of now, without what changes by itself; the first line tells the style sheet."""
    sheet = Path(page_of_server.__file__).parent / "static" / "page.css"
    shown = await page.evaluate(_OUTLINE, _CHANGING)
    assert isinstance(shown, str)
    return f"page.css {hashlib.sha256(sheet.read_bytes()).hexdigest()}\n{shown}"
