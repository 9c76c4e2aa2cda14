"""Calls to another service, through the edge, which knows the replicas that are up."""

import asyncio
import random
import time

import httpx

from shop.database import Away
from shop.service import log, setting

# What the edge or a service says when it cannot answer now.
TRY_AGAIN = {502, 503, 504}


class Caller:
    """A client that tries again. Only for what may be repeated: GET, and PUT or DELETE of what the caller named."""

    def __init__(self):
        self._client = httpx.AsyncClient(
            base_url=setting("EDGE_URL", "http://edge"),
            headers={"Authorization": f"Bearer {setting('SERVICE_TOKEN', 'sample-service-token')}"},
            # The edge itself takes a request away from a replica that hangs: so wait, and do not ask twice.
            timeout=httpx.Timeout(4, connect=1),
            # Below the edge's `keepalive`: of the two it is the client that closes an idle connection.
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30),
            trust_env=False,
        )

    async def call(self, method: str, path: str, seconds: float, json=None) -> httpx.Response:
        """The answer; Away if there is none after so many seconds. Pauses grow, and are random so that callers part."""
        end, pause = time.monotonic() + seconds, 0.05
        while True:
            try:
                async with asyncio.timeout(max(end - time.monotonic(), 0.05)):
                    response = await self._client.request(method, path, json=json)
                if response.status_code not in TRY_AGAIN:
                    return response
                problem = str(response.status_code)
            except (httpx.TransportError, TimeoutError) as error:
                problem = type(error).__name__
            pause = min(pause * 2, 1)
            wait = pause * random.uniform(0.5, 1)
            if end < time.monotonic() + wait:
                log.warning("%s %s: %s, given up", method, path, problem)
                raise Away("products do not answer, try again")
            await asyncio.sleep(wait)
