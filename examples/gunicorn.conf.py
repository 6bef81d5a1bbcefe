"""
gunicorn with two workers, which all beat.

    gunicorn --config gunicorn.conf.py --bind 0.0.0.0:8000 wsgi_app:app

LIVENESS_RUNDIR and LIVENESS_UNIT_NAME determine where the state is written.
"""

from liveness.gunicorn import *  # noqa: F403 - gunicorn looks for the hooks by their names

workers = 2
timeout = 30  # seconds; a worker that hangs for longer is killed and replaced by gunicorn
graceful_timeout = 30  # seconds; what a request may take when a worker ends
