# SPDX-License-Identifier: Apache-2.0
"""Pictures of the page: kept where they are wanted, and compared with those in the manual."""

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from playwright.async_api import BrowserContext, Page

from tests.reference import ROOT
from tools.page_pictures import PICTURES

#: The manual's pictures, by the names of the tests'.
_OF_THE_MANUAL: Final = {
    source: (ROOT / "docs" / "pictures" / name).read_bytes() for name, (source, _) in PICTURES.items()
}
#: The share of squares of ten pixels whose colour is another one: a word of the menu that is another one makes 0.2 %,
#: another view twenty.
MOST_DIFFERENT: Final = 0.001
#: What is another one each time: ages, times, counts, the chart, and problems, of which the server warns after a while.
_CHANGING: Final = "time, .at, #health dd, #health p, #latency, #problems"
#: What is gone after ten seconds is in no picture of the manual.
_HIDE: Final = "(all, visibility) => all.forEach(one => { one.style.visibility = visibility })"
#: The page counts its ages on meanwhile.
_LOOKS: Final = 3
_BOXES: Final = "all => all.map(one => one.getBoundingClientRect()).map(box => [box.x, box.y, box.width, box.height])"
_COMPARE: Final = """async ([pictures, boxes]) => {
  const [one, other] = await Promise.all(pictures.map(async base64 => {
    const image = new Image();
    image.src = `data:image/png;base64,${base64}`;
    await image.decode();
    const whole = new OffscreenCanvas(image.width, image.height), covered = whole.getContext('2d');
    covered.drawImage(image, 0, 0);
    for (const [x, y, width, height] of boxes) covered.fillRect(x - 10, y - 2, width + 20, height + 4);
    const canvas = new OffscreenCanvas(Math.round(image.width / 10), Math.round(image.height / 10));
    const context = canvas.getContext('2d');
    context.imageSmoothingQuality = 'high';
    context.drawImage(whole, 0, 0, canvas.width, canvas.height);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }));
  if (one.width !== other.width || one.height !== other.height) return 1;
  let different = 0;
  for (let at = 0; at < one.data.length; at += 4)
    different += [0, 1, 2].some(colour => Math.abs(one.data[at + colour] - other.data[at + colour]) > 16);
  return different / (one.width * one.height);
}"""


def are_pictures_wanted() -> bool:
    """Whether it matters what the page looks like, and not only that it is right."""
    return bool(os.environ.get("REMSIM_SCREENSHOTS"))


async def picture(page: Page, name: str) -> None:
    """Keep what the page looks like, where pictures are wanted; a picture of the manual must look like it."""
    size = page.viewport_size or {"width": 0, "height": 0}
    file = f"{name}-{size['width']}x{size['height']}.png"
    ours = _OF_THE_MANUAL.get(file)
    passing = page.locator("#toasts")
    if ours is not None:
        await passing.evaluate_all(_HIDE, "hidden")
    if are_pictures_wanted():
        await page.screenshot(path=Path(os.environ["REMSIM_SCREENSHOTS"]) / file, animations="disabled")
    elif ours is not None:
        different = 1.0
        for _ in range(_LOOKS):
            different = min(different, await _difference_from(page, ours))
            if different <= MOST_DIFFERENT:
                break
        hint = "take it anew: .venv/bin/python -m tools.page_pictures"
        text = f"the manual's picture {file} is not of today's page ({different:.2%} differ); {hint}"
        assert different <= MOST_DIFFERENT, text
    await passing.evaluate_all(_HIDE, "")


async def _difference_from(page: Page, ours: bytes) -> float:
    # An age of ten seconds would move what stands behind it.
    await page.locator("time").evaluate_all("all => all.forEach(one => one.textContent = '2 s')")
    boxes = await page.locator(_CHANGING).evaluate_all(_BOXES)
    return await difference(page.context, await page.screenshot(animations="disabled"), ours, boxes)


async def difference(context: BrowserContext, one: bytes, other: bytes, boxes: Sequence[Sequence[float]] = ()) -> float:
    """Which share of two pictures looks different: 0 none, 1 all, or they have not the same size.

    ``boxes`` are not looked at: x, y, width and height of each in pixels.
    """
    page = await context.new_page()
    try:
        pictures = [base64.b64encode(each).decode() for each in (one, other)]
        found = await page.evaluate(_COMPARE, [pictures, boxes])
        assert isinstance(found, int | float)
        return found
    finally:
        await page.close()
