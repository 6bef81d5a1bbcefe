"""
A whole project with probes: a web server, and a worker that is a command.

    python manage.py migrate
    gunicorn project:application
    python manage.py work

The database is SQLite unless the environment names a PostgreSQL with PGHOST.
"""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    execute_from_command_line(sys.argv)
