"""For `python manage.py test`: SQLite in memory, so the tests run anywhere."""

from backend.settings import *  # noqa: F403

SAMPLE_FAULTS = True
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "probe": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "TEST": {"MIRROR": "default"}},
}
