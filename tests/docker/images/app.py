"""A tiny app, WSGI and ASGI, that can be made sick: what the tests and `make healing` put behind Gunicorn, uvicorn and others.

/?SECONDS     answers after so long with the number of its process
/health       200, or 500 while sick
/_fault/sick  ?SECONDS of 500 from every process of this container (POST)
/_fault/hang  this thread, or this event loop, does nothing else any more (POST)
"""

import asyncio
import os
import socket
import time

SICK_UNTIL = "/tmp/sick-until"
FAULTS = os.environ.get("SAMPLE_FAULTS") == "1"
HOSTNAME = socket.gethostname()


def is_sick():
    try:
        with open(SICK_UNTIL) as file:
            return time.time() < float(file.read())
    except (OSError, ValueError):
        return False


def seconds(query, default=0.0):
    try:
        return float(query or default)
    except ValueError:
        return default


def answer(path, method, query):
    """Status, text and how long to wait before it; `None` is for ever."""
    if FAULTS and method == "POST" and path == "/_fault/sick":
        with open(SICK_UNTIL + ".new", "w") as file:
            file.write(str(time.time() + seconds(query, 60)))
        os.replace(SICK_UNTIL + ".new", SICK_UNTIL)
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
