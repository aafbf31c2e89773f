# SPDX-License-Identifier: Apache-2.0
"""REST v2, under ``/api/v2``: one module for each resource, no decisions.

``shapes`` has the models from which answers and the schema are made, ``views`` fills them, ``reading`` reads requests.
"""
