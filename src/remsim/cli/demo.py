# SPDX-License-Identifier: Apache-2.0
"""``remsim demo``: options of the demonstration."""

from remsim.cli.options import NO_COMMON_OPTIONS, CommonOptions, Flag, command_app, resolve

app = command_app("demo", "Watch a modem's start-up being served by a card somewhere else.")


@app.default
def demo(*, once: Flag = None, common: CommonOptions = NO_COMMON_OPTIONS) -> int:
    """Watch a modem's start-up being served by a card somewhere else: all three programs, over real sockets.

    Parameters
    ----------
    once: bool
        End after one start; the exit status says whether every answer was right.
    """
    from remsim.config import DemoConfig

    config = resolve(DemoConfig, common, once=once)
    from remsim.demo.show import show

    return show(config)
