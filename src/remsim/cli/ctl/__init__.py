# SPDX-License-Identifier: Apache-2.0
"""``remsim ctl``: what operators ask of a running server, over its REST interface.

Start with ``main``: it has the commands that need REST v1 only, and takes those of the other modules by their
``add_to``. ``session`` is what each command gets, ``tables`` how answers look.
"""

from remsim.cli.ctl.main import app, commands

__all__ = ["app", "commands"]
