# SPDX-License-Identifier: Apache-2.0
"""What gives the bankd access to cards.

Start with ``base`` and ``registry``. ``vpcd`` is no reader of a bank: it puts a software card into somebody else's.
"""
