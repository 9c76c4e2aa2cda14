"""Gunicorn's settings; it reads this file by itself from its working directory. The port is on the command line."""

workers = 2
# Their sign of life is a file that they touch: on a busy disk they would be killed for the disk's slowness.
worker_tmp_dir = "/dev/shm"
# After `docker stop` requests under way have this long; less than the 10 s that Docker waits.
graceful_timeout = 8
# Everything that reaches this port comes through the edge, which writes the access log.
accesslog = None
control_socket_disable = True
