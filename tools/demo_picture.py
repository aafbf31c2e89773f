# SPDX-License-Identifier: Apache-2.0
"""Takes the README's picture of the demonstration: ``.venv/bin/python tools/demo_picture.py``."""

import asyncio
import io
import re
from pathlib import Path

from rich.console import Console

from remsim.core.ids import BankSlot
from remsim.demo.board import draw
from remsim.demo.stage import BANK_ID, Stage
from remsim.logs import setup_logging

TARGET = Path(__file__).parent.parent / "docs" / "pictures" / "demo.svg"
WIDTH, HEIGHT = 100, 30
#: The picture shows the modem's start at this command.
AT_COMMAND = 46


async def main() -> None:
    setup_logging(level="error", log_format="text")
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    async with Stage() as stage:

        def look() -> None:
            if stage.scene.played == AT_COMMAND:
                console.print(draw(stage.scene, HEIGHT))

        await stage.wait_for_peers()
        await stage.boot(BankSlot(BANK_ID, 2), pace_s=0.0, on_change=look)
    picture = console.export_svg(title="remsim demo")
    # A page that shows the picture must not fetch fonts from elsewhere.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    TARGET.write_text(picture, encoding="utf-8")


asyncio.run(main())
