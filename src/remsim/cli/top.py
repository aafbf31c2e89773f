# SPDX-License-Identifier: Apache-2.0
"""``remsim top``: what a server knows, live in a terminal."""

import os
import sys

from remsim.cli.options import NO_COMMON_OPTIONS, NO_REST_OPTIONS, CommonOptions, RestOptions, command_app, resolve

app = command_app("top", "See banks, clients, cards and problems of a server, live.")


@app.default
def top(
    *,
    server: RestOptions = NO_REST_OPTIONS,
    common: CommonOptions = NO_COMMON_OPTIONS,
) -> int:
    """See banks, clients, cards and problems of a server, live, in a terminal of at least 80 columns and 24 lines.

    Keys: 1, 2 and 3 show slots, clients and events; t traces the chosen one; / searches; q ends. The token is taken
    from REMSIM_TOKEN.
    """
    from remsim.cli.rest import open_rest
    from remsim.config import CtlConfig
    from remsim.core.errors import ConfigError, RemsimError

    config = resolve(CtlConfig, common, **vars(server))
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("remsim top needs a terminal", hint="for programs there is: remsim ctl watch --json")
    with open_rest(config, os.environ, program="top") as client:
        from remsim.top.screen import run

        reason = run(client.base, client.async_v2)
    if reason:
        raise RemsimError(reason, hint="see remsim ctl banks")
    return 0
