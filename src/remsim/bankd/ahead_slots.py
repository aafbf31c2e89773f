# SPDX-License-Identifier: Apache-2.0
"""For which slots of a bank commands are answered ahead, by settings that may change while it runs."""

from collections.abc import Callable

from remsim.ahead.context_model import ContextModel
from remsim.ahead.library import Library, Pair
from remsim.bankd.core.ahead import AheadPolicy
from remsim.bankd.learnt_files import LearntFiles, shipped_recordings
from remsim.config import BankdConfig
from remsim.core.errors import ConfigError
from remsim.logs import Logger
from remsim.net.runtime.tasks import in_thread

#: Reads the settings of the program anew.
Reread = Callable[[], BankdConfig]


class AheadSlots:
    """The settings, and what the bank has learnt; that is loaded when a slot needs it for the first time."""

    def __init__(self, config: BankdConfig, *, learnt: LearntFiles, log: Logger, reread: Reread | None) -> None:
        self._config = config
        self._learnt = learnt
        self._log = log
        self._reread = reread
        self._library: Library | None = None
        #: None as long as no slot was ever to be answered ahead.
        self.policy = self._make_policy(config)

    def is_offered(self) -> bool:
        """Whether links name the ability. They go on doing so: a session that is held ends as it began."""
        return self.policy is not None

    def allows(self, slot_nr: int) -> bool:
        """Whether a session that begins now in this slot is answered ahead."""
        return self._config.is_ahead_in(slot_nr)

    async def reload(self) -> AheadPolicy | None:
        """Let the settings hold that the file has now, for sessions to come. Returns a policy if there was none."""
        if self._reread is None:
            return None
        try:
            config = await in_thread(self._reread)
        except ConfigError as error:
            self._log.error("settings_not_reloaded", error=str(error), hint=error.hint)
            return None
        if (config.ahead, config.overrides) != (self._config.ahead, self._config.overrides):
            self._log.info("ahead_reloaded", slots=sum(map(config.is_ahead_in, range(self._config.slots))))
        self._config = config
        if self.policy is None:
            self.policy = await in_thread(self._make_policy, config)
            return self.policy
        return None

    def learnt_of(self, pair: Pair) -> ContextModel | None:
        """What is to be stored of a card and a modem."""
        return None if self._library is None else ContextModel(self._library.models(pair)[0].recordings)

    def _make_policy(self, config: BankdConfig) -> AheadPolicy | None:
        if not any(map(config.is_ahead_in, range(config.slots))):
            return None
        library = Library(shipped_recordings())
        self._learnt.load_all(library)
        self._library = library
        return AheadPolicy(library, allows=self.allows)
