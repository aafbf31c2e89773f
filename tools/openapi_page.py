# SPDX-License-Identifier: Apache-2.0
"""The text of docs/openapi.json: the schema of the REST interface, as the framework generates it."""

import json

from remsim.server.api.app import whole


def openapi_page() -> str:
    """The schema, in a form that shows changes line by line."""
    return json.dumps(whole().openapi(), indent=2, sort_keys=True) + "\n"
