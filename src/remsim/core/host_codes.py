# SPDX-License-Identifier: Apache-2.0
"""By which names a bankd tells its server what is wrong with its host (ability ``conditions.1``).

A name never changes its meaning: programs of different versions meet. What a person should do about it, the server
knows.
"""

from typing import Final

PCSCD_UNUSABLE: Final = "pcscd-unusable"
#: It lists fewer readers than there are, or are to be.
PCSCD_TOO_OLD: Final = "pcscd-too-old"
CARDS_FORBIDDEN: Final = "cards-forbidden"
#: A driver, or what uses it, is not installed.
NO_DRIVER: Final = "no-driver"
#: Several readers have one name, so none of them is used.
READER_TWINS: Final = "reader-twins"
#: They are plugged in, and pcscd does not know them.
READERS_UNSEEN: Final = "readers-unseen"
#: Calls at them do not return.
READERS_STUCK: Final = "readers-stuck"
#: Of the file system of the state directory.
DISK: Final = "disk"

#: Only ``remsim doctor`` tells of these: they say nothing that a server does not know, or what may be meant so.
NO_READER: Final = "no-reader"
NO_SUCH_READER: Final = "no-such-reader"
CONNECTIONS: Final = "connections"

#: What a server is told.
TOLD: Final = frozenset(
    {
        *(PCSCD_UNUSABLE, PCSCD_TOO_OLD, CARDS_FORBIDDEN, NO_DRIVER),
        *(READER_TWINS, READERS_UNSEEN, READERS_STUCK, DISK),
    }
)
