# SPDX-License-Identifier: Apache-2.0
"""REST: one module per resource, no decisions, only calls to the desk. The prefix of v1 is ``/api/backend/v1``."""
