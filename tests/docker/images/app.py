"""A tiny app, WSGI and ASGI, that can be made sick: what the tests and `make healing` put behind Gunicorn, uvicorn and others.

/?SECONDS     answers after so long with the number of its process
/_fault/sick  500 from every process of this container that has started before, until it ends (POST)
/_fault/hang  this thread, or this event loop, does nothing else any more (POST)
"""

import asyncio
import os
import socket
import time

SICK = "/tmp/sick"
STARTED = time.time()
FAULTS = os.environ.get("SAMPLE_FAULTS") == "1"
HOSTNAME = socket.gethostname()


def is_sick():
    try:
        return STARTED < os.stat(SICK).st_mtime
    except OSError:
        return False


def seconds(query, default=0.0):
    try:
        return float(query or default)
    except ValueError:
        return default


def answer(path, method, query):
    """Status, text and how long to wait before it; `None` is for ever."""
    if FAULTS and method == "POST" and path == "/_fault/sick":
        open(SICK, "w").close()
        return 200, "sick", 0
    if FAULTS and method == "POST" and path == "/_fault/hang":
        return 200, "hung", None
    if is_sick():
        return 500, "sick on request", 0
    return 200, str(os.getpid()), seconds(query)


def wsgi(environ, start):
    status, text, wait = answer(environ["PATH_INFO"], environ["REQUEST_METHOD"], environ["QUERY_STRING"])
    time.sleep(3600 if wait is None else wait)
    length = str(len(text))
    start(f"{status} So", [("Content-Type", "text/plain"), ("Content-Length", length), ("X-Served-By", HOSTNAME)])
    return [text.encode()]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    status, text, wait = answer(scope["path"], scope["method"], scope["query_string"].decode())
    if wait is None:
        time.sleep(3600)  # blocks the event loop, as a library that is not asynchronous does
    await asyncio.sleep(wait)
    length = str(len(text)).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", length), (b"x-served-by", HOSTNAME.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
