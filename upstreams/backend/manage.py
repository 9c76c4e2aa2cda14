#!/usr/bin/env python
"""Django's command line: `python manage.py test`, `… migrate_when_ready`, `… runserver`."""

import os
import sys

if __name__ == "__main__":
    # The tests need no database server.
    settings = "backend.settings_test" if sys.argv[1:2] == ["test"] else "backend.settings"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", settings)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
