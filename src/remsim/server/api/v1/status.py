# SPDX-License-Identifier: Apache-2.0
"""Whether the server is well, and how often it was started."""

from fastapi.responses import JSONResponse

from remsim.server.api.auth import for_anybody
from remsim.server.api.errors import ApiError
from remsim.server.api.resource import Resource
from remsim.server.api.routing import V1, TheQuery, guarded, refusals
from remsim.server.api.v1.shapes import Health, Ready, RestartCounter

router = Resource(tags=["status"])


@router.get(f"{V1}/restart-counter", responses={200: {"model": RestartCounter}, **guarded()})
async def restart_counter(query: TheQuery) -> JSONResponse:
    """How often the server was started with this database: a back-end notices a restart by it."""
    return JSONResponse({"restart-counter": query.restart_counter})


@router.get("/health", responses={200: {"model": Health}, **refusals(403)})
@for_anybody
async def health() -> JSONResponse:
    """The process lives and answers."""
    return JSONResponse({"status": "ok"})


@router.get("/ready", responses={200: {"model": Ready}, **refusals(403, 503)})
@for_anybody
async def ready(query: TheQuery) -> JSONResponse:
    """It listens on all its ports, and the database took what was written last."""
    if not query.is_open:
        raise ApiError(503, "not_ready", "the server is starting or stopping")
    if not query.is_store_healthy:
        raise ApiError(503, "not_ready", "the database did not take the last change", "see the server's log")
    return JSONResponse({"status": "ready"})
