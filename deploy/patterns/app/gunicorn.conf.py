"""The backend's own settings of Gunicorn, with another way to migrate where the data is a file."""

import os
import subprocess
import sys
from pathlib import Path

exec(Path("/app/gunicorn.conf.py").read_text())

if not os.environ.get("MYSQL_HOST"):
    del post_worker_init  # noqa: F821 (it waits for a server)

    def on_starting(server):
        """Once, before there is any worker."""
        subprocess.run([sys.executable, "manage.py", "migrate", "--noinput", "-v", "0"], check=True)
