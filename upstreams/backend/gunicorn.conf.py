"""Gunicorn's settings; it reads this file by itself from its working directory."""

import os

bind = "0.0.0.0:8000"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "sync"
# A worker whose one request takes longer is replaced. The edge has removed this replica from rotation long before.
timeout = 30
# After a HUP the master obeys nothing until its old workers are gone, at most this long. Keep it below Remora's `cooldown`.
graceful_timeout = 10
# The workers' sign of life is a file that they touch: on a busy disk they would be killed for the disk's slowness.
worker_tmp_dir = "/dev/shm"
# The edge writes the access log, with the client's address and the replica's.
accesslog = None
# Everything that reaches this port comes through the edge.
forwarded_allow_ips = "*"
control_socket_disable = True


def post_worker_init(worker):
    """Every worker tries to migrate, as soon as the database answers; a lock in the database lets one do it."""
    from backend import migrating

    migrating.start()
