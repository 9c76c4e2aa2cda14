"""Two questions that must not be mixed up: can this process work, and can the databases be used?"""

from flask import Blueprint, current_app, jsonify

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")  # for the edge, which asks the replica itself
@blueprint.get("/api/health")  # for people, through the edge
def process():
    """This process answers. It says nothing of the databases: no replica is better off than another when one is away, and
    taking out all of them would take the other database's half with it."""
    return jsonify(status="ok")


@blueprint.get("/api/health/databases")
def databases():
    """What the databases are like as seen from here, for people and for alarms; known beforehand, so the answer is quick."""
    problems = {name: current_app.extensions[name].problem() for name in ("users", "documents")}
    body = {name: problem or "ok" for name, problem in problems.items()}
    return jsonify(body), 503 if any(problems.values()) else 200
