# SPDX-License-Identifier: Apache-2.0
"""REST v2, under ``/api/v2``: one module for each resource, no decisions.

``remsim.rest.models`` has the models from which answers and the schema are made; ``views`` fills them, and ``reading``
reads requests.
"""
