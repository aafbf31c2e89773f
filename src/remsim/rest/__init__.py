# SPDX-License-Identifier: Apache-2.0
"""REST v2 of a server, for programs::

    from remsim.rest import Rest, calls

    with Rest("https://server:9997", token=token, authority="authority.pem") as rest:
        answer = rest.do(calls.put_mapping("C7:0", "label:roaming", wait="operational"))
        print(answer.bank, answer.missing)
        for event in rest.events():
            print(event.kind, event.client_slot)

``AsyncRest`` is the same for asyncio. Everything raises ``RestApiError``, one line with a hint.
"""

from remsim.rest import calls
from remsim.rest.client import AsyncRest, Rest
from remsim.rest.errors import RestApiError

__all__ = ["AsyncRest", "Rest", "RestApiError", "calls"]
