# SPDX-License-Identifier: Apache-2.0
"""REST v1, under ``/api/backend/v1``: one module for each resource, no decisions."""
