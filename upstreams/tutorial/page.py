"""The front end's server: index.html, told where the API is, and beside it the files in site/."""

import html
import os
from pathlib import Path

from whitenoise import WhiteNoise

HERE = Path(__file__).parent
# A path on the address the page came from, or the whole address of an API elsewhere.
API_URL = os.environ.get("API_URL", "/api")
INDEX = (HERE / "index.html").read_text().replace("{{ API_URL }}", html.escape(API_URL)).encode()
TEXT = ("Content-Type", "text/plain; charset=utf-8")


def index(environ, start_response):
    """What WhiteNoise has no file for."""
    status, kind, body = {
        "/": ("200 OK", ("Content-Type", "text/html; charset=utf-8"), INDEX),
        "/health": ("200 OK", TEXT, b"ok\n"),
    }.get(environ["PATH_INFO"], ("404 Not Found", TEXT, b"There is no such page.\n"))
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        status, kind, body = "405 Method Not Allowed", TEXT, b"GET only.\n"
    start_response(status, [kind, ("Content-Length", str(len(body))), ("Cache-Control", "no-cache")])
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]


# Other origins are the edge's to allow, not this server's.
app = WhiteNoise(index, root=HERE / "site", allow_all_origins=False)
