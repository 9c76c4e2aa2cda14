"""Brings the tables up to date whenever the database turns up, however many replicas try it at once.

So nothing needs a fixed order of start: a replica starts without a database, says 503, and gets well by itself.
"""

import logging
import random
import threading
import time

from django.core.management import call_command
from django.db import DatabaseError, connections

log = logging.getLogger("migrating")
wanted = threading.Event()  # set by the health check when it finds no tables: somebody replaced the database


def start():
    """Once in each worker process; the thread ends with it."""
    wanted.set()
    threading.Thread(target=_whenever_wanted, name="migrating", daemon=True).start()


def _whenever_wanted():
    while True:
        wanted.wait()
        wanted.clear()
        until_done()


def until_done():
    """Tries until it has worked, about once a second."""
    while True:
        try:
            if _once():
                return
        except DatabaseError as error:
            log.debug("not yet: %s", error)
        except Exception:  # a broken migration: say so, serve 503, try again more slowly
            log.exception("migration failed")
            time.sleep(10)
        finally:
            connections["migrating"].close()
        time.sleep(0.5 + random.random())


def _once():
    """True when the tables are up to date; False when somebody else is just making them so."""
    with connections["migrating"].cursor() as cursor:
        # The lock belongs to the connection: a process that dies gives it back.
        cursor.execute("SELECT GET_LOCK('migrating', 0)")
        if cursor.fetchone()[0] != 1:
            return False
        call_command("migrate", database="migrating", interactive=False, verbosity=0)
        return True
