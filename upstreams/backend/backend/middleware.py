import logging
import socket

from django.db import InterfaceError, OperationalError
from django.http import JsonResponse

HOSTNAME = socket.gethostname()  # in a container: the beginning of its id
log = logging.getLogger("database")


def served_by(get_response):
    """Says in every response which replica it comes from."""

    def middleware(request):
        response = get_response(request)
        response["X-Served-By"] = HOSTNAME
        return response

    return middleware


class DatabaseAway:
    """A database that is away is no bug of this program: 503 and when to come again, not 500."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_exception(self, request, exception):
        if not isinstance(exception, (OperationalError, InterfaceError)):
            return None
        log.warning("%s %s: %s", request.method, request.path, exception)
        body = {"detail": "The database is not available at the moment.", "served_by": HOSTNAME}
        return JsonResponse(body, status=503, headers={"Retry-After": "2"})
