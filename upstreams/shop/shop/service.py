"""What the three services share: start and stop, health, errors as JSON, and the replica's name in every answer."""

import asyncio
import logging
import os
import socket
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from shop.database import Away, Database

HOSTNAME = socket.gethostname()  # in a container: the beginning of its id
log = logging.getLogger("uvicorn.error")


def service(name: str, database: Database, *background) -> FastAPI:
    """An application with `/health`; `background` are coroutine functions that run beside the requests."""

    @asynccontextmanager
    async def lifespan(_):
        asyncio.get_running_loop().set_exception_handler(unheard)
        database.start()
        tasks = [asyncio.create_task(work()) for work in background]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await database.stop()

    app = FastAPI(title=name, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=f"/{name}/openapi.json")
    app.add_middleware(ServedBy)
    app.state.problem = None

    @app.get("/health", include_in_schema=False)
    async def health():
        """200 when this replica can serve, 503 when the database keeps it from that; always within a second."""
        problem = await database.problem()
        if problem != app.state.problem:
            log.info("database %s", problem or "ok")
            app.state.problem = problem
        status = {"status": "unavailable" if problem else "ok", "database": problem or "ok", "served_by": HOSTNAME}
        return JSONResponse(status, 503 if problem else 200)

    @app.exception_handler(Away)
    async def away(_: Request, error: Away):
        return JSONResponse({"detail": str(error)}, 503, {"Retry-After": "1"})

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception):
        # What it was stands in the log and is nobody else's business.
        return JSONResponse({"detail": "internal error"}, 500)

    return app


def unheard(loop, context):
    """A name that is looked up for somebody who has stopped waiting fails unheard, and that is nothing to report."""
    if not isinstance(context.get("exception"), socket.gaierror):
        loop.default_exception_handler(context)


class ServedBy:
    """Puts `X-Served-By` into every answer."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def named(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-served-by", HOSTNAME.encode())]
            await send(message)

        await self.app(scope, receive, named)


def setting(name: str, default: str) -> str:
    """A setting from the environment; the sample's own where it is not set or empty."""
    return os.environ.get(name) or default
