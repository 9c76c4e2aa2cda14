"""Settings, all from the environment, all with a default that fits the compose stack."""

import os

from django.core.management.utils import get_random_secret_key

DEBUG = os.environ.get("DJANGO_DEBUG") == "1"
SAMPLE_FAULTS = os.environ.get("SAMPLE_FAULTS") == "1"
# Nothing here signs anything that must outlive a process (no sessions, no CSRF cookies), so a random key will do.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or get_random_secret_key()
# The edge decides which hosts are served; its health check comes with the server's own name.
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "*").split(",")
USE_X_FORWARDED_HOST = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

ROOT_URLCONF = "backend.urls"
WSGI_APPLICATION = "backend.wsgi.application"
INSTALLED_APPS = ["rest_framework", "backend", "notes"]
MIDDLEWARE = ["backend.middleware.served_by", "backend.middleware.DatabaseAway"]
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def _database(read_seconds):
    """One way to the database. Every wait has an end: a dead database must not take the workers with it."""
    return {
        "ENGINE": "django.db.backends.mysql",
        "HOST": os.environ.get("MYSQL_HOST", "database"),
        "PORT": os.environ.get("MYSQL_PORT", "3306"),
        "NAME": os.environ.get("MYSQL_DATABASE", "remora"),
        "USER": os.environ.get("MYSQL_USER", "remora"),
        "PASSWORD": os.environ.get("MYSQL_PASSWORD", "remora"),
        "OPTIONS": {
            "charset": "utf8mb4",
            "connect_timeout": 1,
            "read_timeout": read_seconds,
            "write_timeout": read_seconds,
            # Within one Docker network; and PyMySQL would read all certificate authorities for each connection (20 ms).
            "ssl_disabled": True,
            "init_command": "SET sql_mode='STRICT_TRANS_TABLES'",
        },
    }


DATABASES = {
    # A new connection for each request: it costs a millisecond here, and there is never a stale one after a restart.
    "default": _database(read_seconds=5),
    # Health checks must answer in time even when queries do not.
    "probe": _database(read_seconds=1),
    # Changing a big table takes longer than any request may.
    "migrating": _database(read_seconds=600),
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 50,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    # It writes an error with every 503; a failing health check would repeat it every two seconds. See backend.health.
    "loggers": {"django.request": {"level": "CRITICAL" if not DEBUG else "WARNING"}},
}
