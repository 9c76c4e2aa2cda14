"""Can this replica do its work? It can if the database answers in time and has the tables."""

import logging
import time

from django.db import DatabaseError, connections
from django.db.utils import ProgrammingError
from django.http import JsonResponse

from backend import faults, migrating
from backend.middleware import HOSTNAME

log = logging.getLogger("health")
_last_problem = ""


def health(request):
    """200 when this replica can serve, 503 when the database is the reason that it cannot."""
    if faults.is_sick():
        return JsonResponse({"status": "sick on request", "served_by": HOSTNAME}, status=500)
    start = time.monotonic()
    problem = _database_problem()
    _log_change(problem)
    body = {
        "status": "unavailable" if problem else "ok",
        "database": problem or "ok",
        "database_ms": round((time.monotonic() - start) * 1000, 1),
        "served_by": HOSTNAME,
    }
    return JsonResponse(body, status=503 if problem else 200)


def _database_problem():
    # A connection of its own for each check: it also proves that the database still takes new ones.
    connection = connections["probe"]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM notes_note LIMIT 1")
    except ProgrammingError:
        migrating.wanted.set()
        return "not migrated yet"
    except DatabaseError as error:
        return f"does not answer: {error.args[-1] if error.args else error}"
    finally:
        connection.close()
    return ""


def _log_change(problem):
    global _last_problem
    if bool(problem) != bool(_last_problem):
        log.warning("database %s", problem) if problem else log.info("database ok")
    _last_problem = problem
