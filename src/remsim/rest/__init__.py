# SPDX-License-Identifier: Apache-2.0
"""REST v2 of a server, for programs::

    from remsim.rest import Rest, calls

    with Rest("https://server:9997", token=token, authority="authority.pem") as rest:
        answer = rest.do(calls.put_mapping("C7:0", "label:roaming", wait="operational"))
        print(answer.bank, answer.missing)
        for event in rest.events():
            print(event.kind, event.client_slot)

``AsyncRest`` is the same for asyncio. Everything raises ``RestApiError``, one line with a hint; a token that is none
is a ``ConfigError`` at once.

These names are loaded when first used: the server, which has the models in common with them, does without.
"""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from remsim.rest import calls
    from remsim.rest.client import AsyncRest, Rest
    from remsim.rest.errors import RestApiError

__all__ = ["AsyncRest", "Rest", "RestApiError", "calls"]

#: Where each name is that is not a module here.
_PLACES: Final = {"AsyncRest": "client", "Rest": "client", "RestApiError": "errors"}


def _load(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_PLACES.get(name, name)}")
    value: object = getattr(module, name) if name in _PLACES else module
    globals()[name] = value
    return value


if not TYPE_CHECKING:
    # Not for the type checker, which would take every name for one that is there.
    __getattr__ = _load
