"""The back end: says hello, and which server said it."""

import os
import socket

from flask import Flask, jsonify
from werkzeug.exceptions import HTTPException

HOSTNAME = socket.gethostname()  # in a container: the beginning of its id
# Only for step 4 of the tutorial, where nobody stands in front who would do it.
ALLOW_ORIGIN = os.environ.get("ALLOW_ORIGIN")

app = Flask(__name__)


@app.get("/api")
def hello():
    return jsonify(message="Hello from the API", served_by=HOSTNAME)


@app.get("/health")
def health():
    return jsonify(status="ok", served_by=HOSTNAME)


@app.errorhandler(HTTPException)
def problem(error):
    """JSON for errors too: programs read this, not people."""
    return jsonify(detail=error.description, served_by=HOSTNAME), error.code


@app.after_request
def headers(response):
    response.headers["X-Served-By"] = HOSTNAME
    response.headers["Cache-Control"] = "no-store"
    if ALLOW_ORIGIN:
        response.headers["Access-Control-Allow-Origin"] = ALLOW_ORIGIN
        response.headers["Vary"] = "Origin"
    return response
