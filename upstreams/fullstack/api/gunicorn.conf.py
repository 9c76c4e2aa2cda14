"""Gunicorn's settings; it reads this file by itself from its working directory."""

import os
import signal
import threading

bind = "0.0.0.0:8000"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
# Threads, so that requests that wait for one database do not keep those of the other from being answered: as many as both
# databases admit together (app/database.py).
worker_class = "gthread"
threads = 64
timeout = 30
# After a HUP the master obeys nothing until its old workers are gone, at most this long. Keep it below Remora's `cooldown`.
graceful_timeout = 10
# Longer than the edge keeps an unused connection (`idle: 1s`), so that this side never closes one that is just being used.
keepalive = 5
# The workers' sign of life is a file that they touch: on a busy disk they would be killed for the disk's slowness.
worker_tmp_dir = "/dev/shm"
# The edge writes the access log, with the client's address and the replica's.
accesslog = None
# Everything that reaches this port comes through the edge.
forwarded_allow_ips = "*"
control_socket_disable = True


def when_ready(server):
    """A stop (TERM) waits for a moment, in which everything is served: the edge hears of it just as late as this process, and
    may have given it one more request."""
    stop = signal.getsignal(signal.SIGTERM)

    def soon(number, frame):
        threading.Timer(1, stop, (number, frame)).start()

    signal.signal(signal.SIGTERM, soon)
