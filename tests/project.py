"""Whole Django projects for tests: settings, URLs, an application for each server, and a manage.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stage import ROOT
from web import Server

MIDDLEWARE = "liveness.django.middleware.ProbeMiddleware"

APP = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.{kind} import get_{kind}_application
app = get_{kind}_application()
"""
MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
URLS = """
import threading
from django.http import HttpResponse
from django.urls import path

def hello(request):
    return HttpResponse(f"hello on {threading.current_thread().name}")

def threads(request):
    return HttpResponse(str(threading.active_count()))

urlpatterns = [path("", hello), path("hello", hello), path("threads", threads)]
"""
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}


class Project:
    """A project in a folder, with the given settings. ``database`` is the default database: SQLite if not given."""

    def __init__(self, folder: Path, database: Mapping[str, Any] = SQLITE, urls: str = URLS, **settings: Any) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = {
            "SECRET_KEY": "x" * 50,
            "ALLOWED_HOSTS": ["*"],
            "ROOT_URLCONF": "urls",
            "USE_TZ": True,
            "MIDDLEWARE": [MIDDLEWARE],
            "INSTALLED_APPS": ["liveness.django"],
            "DATABASES": {"default": dict(database)},
            **settings,
        }
        self.write("settings.py", "".join(f"{name} = {value!r}\n" for name, value in self.settings.items()))
        self.write("urls.py", urls)
        self.write("manage.py", MANAGE)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def serve(self, kind: str = "gunicorn", **options: Any) -> Server:
        """A server that has answered a first request for something else than a probe."""
        self.write("app.py", APP.format(kind="asgi" if kind == "uvicorn" else "wsgi"))
        return Server(self.folder, kind, started=options.pop("started", "/started"), **options)

    def manage(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder, env=self.environment(**environment),
            capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The same, and does not wait for it."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder, env=self.environment(**environment),
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def environment(self, **changes: str) -> dict[str, str]:
        path = f"{ROOT}{os.pathsep}{self.folder}"
        return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **changes}
