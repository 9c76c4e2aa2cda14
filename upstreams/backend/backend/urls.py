from django.conf import settings
from django.urls import include, path

from backend import faults
from backend.health import health

urlpatterns = [
    path("health", health),  # for the edge, which asks the replica itself
    path("api/health", health),  # for people, through the edge
    path("api/", include("notes.urls")),
]
if settings.SAMPLE_FAULTS:
    urlpatterns += [
        path(prefix + "_fault/" + name, view)
        for prefix in ("", "api/")
        for name, view in (("sick", faults.sick), ("hang", faults.hang))
    ]
