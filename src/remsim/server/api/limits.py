# SPDX-License-Identifier: Apache-2.0
"""What a caller of REST may take: connections, bytes and time. Their printed reasons are in ``server.limits``."""

from typing import Final

#: Open connections. A back-end uses a few; more are people, and callers without a token, which get nothing but a 401.
MAX_CONNECTIONS: Final = 512
#: Half of that for one source, which may be a proxy of everybody.
MAX_CONNECTIONS_PER_SOURCE: Final = 256
#: Request line and headers together.
MAX_HEAD_BYTES: Final = 16 * 1024
#: From the connection, or from the first byte of a further request, to the end of the headers.
HEAD_TIME_S: Final = 10.0
#: The largest sensible request has a few hundred bytes.
MAX_BODY_BYTES: Final = 64 * 1024
#: From the end of the headers to the end of the body, whether anybody still wants it or not.
BODY_TIME_S: Final = 10.0
#: So long an answer may wait for its reader to take any of it; the longest lists have some megabytes.
ANSWER_TIME_S: Final = 30.0
#: Streams of events at a time. A page or program has one each.
MAX_READERS: Final = 128
#: Overviews of the page that are kept up to date: one for each role and scope that is looked at.
MAX_BOARDS: Final = 32
#: Traces that are read at a time.
MAX_TRACE_READERS: Final = 64
#: The same by one token: fewer than slots that may be traced.
MAX_TRACE_READERS_OF_ONE: Final = 24
#: A connection without a request is kept this long for the next one.
KEEP_ALIVE_S: Final = 5


def most_of_one(most: int) -> int:
    """How many of these streams one token may have: a quarter is left to others."""
    return most - most // 4
