# SPDX-License-Identifier: Apache-2.0
"""What is wrong now, and what to do."""

import time
from typing import Annotated

from fastapi import Query
from fastapi.responses import Response
from pydantic import WithJsonSchema

from remsim.rest import warnings as models
from remsim.server.api.auth import TheGrant
from remsim.server.api.errors import V2, bad_request
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheRuntime
from remsim.server.api.v1.views import time_text
from remsim.server.api.v2.answers import gives, page, problems
from remsim.server.api.v2.reading import DEFAULT_LIMIT, CursorText, LimitText
from remsim.server.core.warnings import WARNING_KINDS, Alert

router = Resource(prefix=V2, tags=["v2 warnings"])

KindText = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "enum": sorted(WARNING_KINDS)}),
    Query(alias="kind", description="only those of this kind"),
]
AboutText = Annotated[str | None, Query(alias="about", max_length=16, description="only those about this: B1:3, C7:0")]


@router.get("/warnings", responses={**gives(models.WarningPage), **problems(400)})
async def list_warnings(
    runtime: TheRuntime,
    grant: TheGrant,
    kind: KindText = None,
    about: AboutText = None,
    limit: LimitText = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """What is wrong now, as far as the token is for it, the oldest first. Each goes by itself when it is over."""
    if kind is not None and kind not in WARNING_KINDS:
        raise bad_request(f"{kind!r} is no kind of warning", f"kinds are {', '.join(sorted(WARNING_KINDS))}")
    found = [
        alert
        for alert in runtime.warnings
        if alert.is_visible(grant.scope) and kind in (None, alert.kind) and about in (None, alert.about)
    ]
    wall = time.time()
    return await page(
        found, key=lambda alert: (alert.number,), show=lambda alert: _shown(alert, wall), limit=limit, cursor=cursor
    )


def _shown(alert: Alert, wall: float) -> models.WarningModel:
    return models.WarningModel(
        id=alert.number,
        kind=alert.kind,
        about=alert.about,
        severity=alert.severity,
        since=time_text(alert.since),
        age_s=round(max(0.0, wall - alert.since), 3),
        text=alert.text,
        hint=alert.hint,
    )
