"""Makes this replica sick on request, for tests and demonstrations; routed only under SAMPLE_FAULTS=1."""

import os
import time

from django.conf import settings
from django.http import HttpResponseNotAllowed, JsonResponse

SICK_UNTIL = "/tmp/sick-until"  # a file, because every worker of this replica must see it


def sick(request):
    """POST …/_fault/sick?seconds=N: /health answers 500 for N seconds (0: well again)."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    seconds = _seconds(request, default=60)
    with open(SICK_UNTIL + ".new", "w") as file:
        file.write(str(time.time() + seconds))
    os.replace(SICK_UNTIL + ".new", SICK_UNTIL)
    return JsonResponse({"sick_for_seconds": seconds})


def hang(request):
    """POST …/_fault/hang?seconds=N: this worker does nothing else for N seconds."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    seconds = _seconds(request, default=600)
    time.sleep(seconds)
    return JsonResponse({"hung_for_seconds": seconds})


def is_sick():
    if not settings.SAMPLE_FAULTS:
        return False
    try:
        with open(SICK_UNTIL) as file:
            return time.time() < float(file.read())
    except (OSError, ValueError):
        return False


def _seconds(request, default):
    try:
        return min(max(float(request.GET.get("seconds", default)), 0), 3600)
    except ValueError:
        return default
