# SPDX-License-Identifier: Apache-2.0
"""``remsim uicc``: a software card in a reader of vpcd. What the options mean is written in ``UiccConfig``."""

from typing import Annotated

from cyclopts import Parameter

from remsim.cli.options import NO_COMMON_OPTIONS, CommonOptions, Flag, command_app, resolve

app = command_app("uicc", "Run a software card.")


@app.default
def uicc(
    *,
    vpcd: Annotated[str | None, Parameter(metavar="HOST:PORT")] = None,
    profile: Annotated[str | None, Parameter(metavar="NAME")] = None,
    state: Annotated[str | None, Parameter(metavar="DIR")] = None,
    fresh: Flag = None,
    number: Annotated[str | None, Parameter(metavar="N")] = None,
    common: CommonOptions = NO_COMMON_OPTIONS,
) -> int:
    """Put a software card into a reader of vpcd, so that pcscd shows it. For tests only: not for live networks.

    Parameters
    ----------
    vpcd: str
        Where vpcd waits for a card (default: 127.0.0.1:35963, its first reader).
    profile: str
        Shipped profile, or the path of a profile file (default: default).
    state: str
        Keep what the card remembers here; without it, the card is a new one at each start.
    fresh: bool
        Start with a new card; ignore stored state.
    number: str
        Added to the profile's IMSI, ICCID and number, so that cards differ (default: 0).
    """
    from remsim.config import UiccConfig

    config = resolve(
        UiccConfig, common, vpcd=vpcd, profile=profile, card_state_dir=state, fresh=fresh, card_number=number
    )
    from remsim.logs import get_logger
    from remsim.net.runtime.exposed_files import warn_of_exposed
    from remsim.net.runtime.process import run_service
    from remsim.readers.sim.profiles import load_profile
    from remsim.readers.sim.store import StoredCard, check_cryptography, state_path
    from remsim.readers.vpcd import VpcdCardService

    check_cryptography()
    chosen = load_profile(config.profile)
    path = None if config.card_state_dir is None else state_path(config.card_state_dir, config.card_number)
    card = StoredCard(chosen, chosen.identity.derive(config.card_number), path, is_fresh=config.fresh)

    def make_service() -> VpcdCardService:
        log = get_logger("uicc")
        if config.card_state_dir is not None:
            warn_of_exposed(config.card_state_dir, log)
        return VpcdCardService(card, config.vpcd, log)

    return run_service(make_service, config=config)
