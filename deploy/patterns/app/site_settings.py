"""The backend's settings as a whole site of its own: with a page, and without MYSQL_HOST with its data in a file."""

import os

from backend.settings import *  # noqa: F403

ROOT_URLCONF = "site_urls"
if not os.environ.get("MYSQL_HOST"):
    _file = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "/var/tmp/notes.sqlite3",
        # The workers read beside each other and wait their turn to write.
        "OPTIONS": {"timeout": 5, "init_command": "PRAGMA journal_mode=WAL"},
    }
    DATABASES = {"default": _file, "probe": _file}
