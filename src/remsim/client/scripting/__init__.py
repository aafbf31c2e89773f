# SPDX-License-Identifier: Apache-2.0
"""Event scripts: what one is called for and told (``causes``), and how it is run (``runner``)."""
