# SPDX-License-Identifier: Apache-2.0
"""The operator's page, served at ``/``: what REST v2 knows, as HTML that is kept up to date.

It looks only. Its HTML is made of the models of v2, by the same ``Views`` and within the same limits of a token, and
whatever is changed is changed by requests of the browser to v2. So the page can neither show nor do what a program
could not. ``mount`` adds it to the application.
"""
