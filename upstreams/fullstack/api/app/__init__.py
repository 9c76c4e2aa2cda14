"""The API of the full stack: users in PostgreSQL, documents in MongoDB. Each half works while the other's database is away."""

import logging
import socket

from flask import Flask, jsonify
from werkzeug.exceptions import HTTPException
from werkzeug.routing import IntegerConverter

from app import documents, health, users
from app.database import Away
from app.payload import Refused

HOSTNAME = socket.gethostname()  # in a container: the beginning of its id
log = logging.getLogger("api")


class Number(IntegerConverter):
    """Digits that PostgreSQL's bigint may hold; Python refuses to read thousands of them."""

    regex = r"\d{1,19}"


def create_app():
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # The pool reports every attempt while its database is away; app.database says that once.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024
    app.json.sort_keys = False
    app.url_map.strict_slashes = False
    app.url_map.converters["number"] = Number
    for part in (users, documents, health):
        app.register_blueprint(part.blueprint)
    # Connections and threads do not survive a fork, so each worker process makes its own; without `preload_app` this runs there.
    app.extensions["users"] = users.Users()
    app.extensions["documents"] = documents.Documents()
    # No requests before that, or a new worker would refuse the first ones while its databases are well.
    for name in ("users", "documents"):
        app.extensions[name].wait_until_known(seconds=3)
    app.register_error_handler(Away, _away)
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(HTTPException, _not_served)
    app.register_error_handler(Exception, _bug)
    app.after_request(_served_by)
    return app


def _served_by(response):
    """Says in every response which replica it comes from."""
    response.headers["X-Served-By"] = HOSTNAME
    return response


def _away(error):
    """A database that is away is no bug of this program: 503 and when to come again, not 500."""
    body = jsonify(error=f"The database of {error.what} is not available at the moment.", database=error.name)
    return body, 503, {"Retry-After": "1"}


def _refused(error):
    return jsonify(error=error.message, **({"fields": error.fields} if error.fields else {})), 400


def _not_served(error):
    """Flask's own refusals, such as 404, 405, 413 and 415, as JSON."""
    plain = {404: "There is nothing at this address.", 415: "The body must be JSON, and Content-Type application/json."}
    own_words = error.description != type(error).description and error.code != 415
    methods = getattr(error, "valid_methods", None)
    headers = {"Allow": ", ".join(sorted(methods))} if methods else {}
    return jsonify(error=error.description if own_words else plain.get(error.code, error.description)), error.code, headers


def _bug(error):
    log.exception("unexpected", exc_info=error)
    return jsonify(error="Something went wrong here."), 500
