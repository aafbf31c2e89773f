# SPDX-License-Identifier: Apache-2.0
"""The changes themselves, one module each, in the order of their numbers."""
