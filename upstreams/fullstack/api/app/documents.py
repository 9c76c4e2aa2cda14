"""Documents, in MongoDB."""

import datetime
import os

from bson import ObjectId
from flask import Blueprint, abort, current_app, jsonify, request, url_for
from pymongo import MongoClient, ReturnDocument
from pymongo.errors import ConnectionFailure, ExecutionTimeout, WaitQueueTimeoutError
from werkzeug.routing import BaseConverter, ValidationError

from app import payload
from app.database import SLOTS, Database

blueprint = Blueprint("documents", __name__, url_prefix="/api/documents")


class Documents(Database):
    name, what = "mongo", "documents"
    errors = (ConnectionFailure, ExecutionTimeout, WaitQueueTimeoutError)

    def __init__(self):
        user = os.environ.get("MONGO_USER", "app")
        self._client = MongoClient(
            os.environ.get("MONGO_HOST", "mongo"),
            int(os.environ.get("MONGO_PORT", "27017")),
            # No user, no authentication: a server that was started without one.
            **({"username": user, "password": os.environ.get("MONGO_PASSWORD", "app"), "authSource": "admin"} if user else {}),
            # A request that fails says so at once: whether to try again is for the thread that asks. And a single server takes no
            # retried writes: it calls them transactions.
            retryReads=False,
            retryWrites=False,
            # One for each slot and one for the thread that asks.
            maxPoolSize=SLOTS + 1,
            serverSelectionTimeoutMS=1000,
            connectTimeoutMS=2000,
            socketTimeoutMS=3000,
            waitQueueTimeoutMS=1000,
            tz_aware=True,
        )
        self._collection = self._client[os.environ.get("MONGO_DB", "app")]["documents"]
        super().__init__()

    def ask(self, first):
        # A read of the collection, because a ping needs no password. The driver connects again by itself.
        self._collection.find_one({}, {"_id": 1})

    def run(self, work):
        """`work` is told the collection."""
        with self.use():
            return work(self._collection)


class Identity(BaseConverter):
    """An id in a path: 24 hexadecimal digits; anything else is 404."""

    regex = "[0-9a-fA-F]{24}"

    def to_python(self, value):
        try:
            return ObjectId(value)
        except ValueError as error:
            raise ValidationError from error


@blueprint.record_once
def _converters(state):
    state.app.url_map.converters["identity"] = Identity


CHECKS = {"title": payload.text(200), "text": payload.text(20000, empty=True), "tags": payload.texts(20, 40)}
DEFAULTS = {"text": "", "tags": []}


def _run(work):
    return current_app.extensions["documents"].run(work)


def _now():
    # MongoDB keeps milliseconds: the answer to a POST says what a GET will say.
    now = datetime.datetime.now(datetime.timezone.utc)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _shown(document):
    if document is None:
        abort(404, "There is no such document.")
    times = {name: document[name].isoformat() for name in ("created", "updated")}
    return {"id": str(document["_id"]), **{name: document[name] for name in CHECKS}, **times}


@blueprint.get("")
def every():
    """The newest first, `limit` at a time; `next` is the `after` of the following page. `tag` leaves out the others."""
    wanted, limit = {}, payload.limit()
    if "after" in request.args:
        if not ObjectId.is_valid(request.args["after"]):
            raise payload.Refused("`after` must be an id.")
        wanted["_id"] = {"$lt": ObjectId(request.args["after"])}
    if "tag" in request.args:
        wanted["tags"] = request.args["tag"]
    found = _run(lambda collection: list(collection.find(wanted).sort("_id", -1).limit(limit)))
    documents = [_shown(document) for document in found]
    return jsonify(documents=documents, next=documents[-1]["id"] if len(documents) == limit else None)


@blueprint.post("")
def create():
    now = _now()
    document = {**DEFAULTS, **payload.read(CHECKS, required=["title"]), "created": now, "updated": now}
    _run(lambda collection: collection.insert_one(document))  # which adds the id
    return jsonify(_shown(document)), 201, {"Location": url_for("documents.one", identity=document["_id"])}


@blueprint.get("/<identity:identity>")
def one(identity):
    return jsonify(_shown(_run(lambda collection: collection.find_one({"_id": identity}))))


@blueprint.route("/<identity:identity>", methods=["PUT", "PATCH"])
def change(identity):
    """PUT writes every field, PATCH those that change."""
    if request.method == "PUT":
        data = {**DEFAULTS, **payload.read(CHECKS, required=["title"])}
    else:
        data = payload.read(CHECKS)
    update = {"$set": {**data, "updated": _now()}}
    after = ReturnDocument.AFTER
    return jsonify(_shown(_run(lambda collection: collection.find_one_and_update({"_id": identity}, update, return_document=after))))


@blueprint.delete("/<identity:identity>")
def delete(identity):
    outcome = _run(lambda collection: collection.delete_one({"_id": identity}))
    if outcome.deleted_count == 0:
        abort(404, "There is no such document.")
    return "", 204
