# SPDX-License-Identifier: Apache-2.0
"""Names of events in the log that whoever connects can cause, so that there is a budget for them: see ``net.lines``."""

from typing import Final

#: About whoever is not accepted.
STRANGERS: Final = frozenset(
    {"client_refused", "duplicate_client", "second_server", "not_a_server", "server_message_undecodable"}
)
#: About clients that come and go.
VISITORS: Final = frozenset({"client_not_mapped", "client_mapped", "client_gone", "card_missing", "card_in_service"})
