"""Makes this replica sick on request, for tests and demonstrations; routed only under SAMPLE_FAULTS=1."""

import os
import time

from django.conf import settings
from django.http import HttpResponseNotAllowed, JsonResponse

SICK_UNTIL = "/tmp/sick-until"  # a file, because every worker of this replica must see it
STARTED = time.time()  # this worker's


def sick(request):
    """POST …/_fault/sick?seconds=N: /health answers 500 for N seconds (0: well again).

    With &until=reload only from the workers that run now, as after a bad import or a leak.
    """
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    seconds = _seconds(request, default=60)
    now = time.time()
    started_before = now if request.GET.get("until") == "reload" else now + seconds
    with open(SICK_UNTIL + ".new", "w") as file:
        file.write(f"{now + seconds} {started_before}")
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
            until, started_before = map(float, file.read().split())
            return time.time() < until and STARTED < started_before
    except (OSError, ValueError):
        return False


def _seconds(request, default):
    try:
        return min(max(float(request.GET.get("seconds", default)), 0), 3600)
    except ValueError:
        return default
