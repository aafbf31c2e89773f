# SPDX-License-Identifier: Apache-2.0
"""The overview in a real browser."""

import pytest

from tests.browser.conftest import Site, picture
from tests.doubles.server_rig import connect_bank, connect_client, post

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_first(site: Site) -> None:
    bank = await site.stack.enter_async_context(await connect_bank(site.service, 1, 24, is_own=True))
    for number in range(7, 12):
        await site.stack.enter_async_context(await connect_client(site.service, number))
    await post_by(site)
    page = await site.overview()
    await picture(page, "overview")


async def post_by(site: Site) -> None:
    import httpx2

    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {await site.token()}"}) as rest:
        for n in range(5):
            a = await rest.put(f"{site.address}/api/v2/mappings/C{7 + n}:0", json={"card": f"B1:{n * 2}"})
            assert a.status_code == 201
