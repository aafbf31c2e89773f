# SPDX-License-Identifier: Apache-2.0
"""The command line: one module for each command.

Start with ``main``. ``rest`` calls the REST interface; ``remsim.server.api`` serves it.
"""
