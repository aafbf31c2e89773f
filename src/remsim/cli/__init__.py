# SPDX-License-Identifier: Apache-2.0
"""The command line: a module for each command of ``remsim``, and the package ``ctl`` for those of ``remsim ctl``.

Start with ``main``. ``options`` are shared by several commands. ``rest`` calls the REST interface, which
``remsim.server.api`` serves.
"""
