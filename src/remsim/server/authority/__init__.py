# SPDX-License-Identifier: Apache-2.0
"""The authority of an installation beside a running server."""
