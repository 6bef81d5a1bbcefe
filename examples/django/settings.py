"""What is about probes comes first."""

import os
from pathlib import Path
from typing import Any

MIDDLEWARE = [
    # First: the others would refuse a kubelet's Host header, or redirect it to HTTPS.
    "liveness.django.middleware.ProbeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
INSTALLED_APPS = ["shop", "liveness.django"]
DJK8S_READINESS_PROBES = [
    "liveness.django.probes.DatabaseProbe",
    # A pod of the new version waits until somebody has migrated.
    "liveness.django.probes.MigrationProbe",
]

SECRET_KEY = os.environ.get("SECRET_KEY", "not a secret: only for this example")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")
SECURE_SSL_REDIRECT = os.environ.get("SECURE_SSL_REDIRECT") == "1"
ROOT_URLCONF = "project"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

_SQLITE: dict[str, Any] = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": os.environ.get("SQLITE", str(Path(__file__).parent / "db.sqlite3")),
}
_POSTGRESQL: dict[str, Any] = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": os.environ.get("PGHOST"),
    "PORT": os.environ.get("PGPORT", "5432"),
    "NAME": os.environ.get("PGDATABASE", "shop"),
    "USER": os.environ.get("PGUSER", "shop"),
    "PASSWORD": os.environ.get("PGPASSWORD", ""),
}
DATABASES = {"default": _POSTGRESQL if os.environ.get("PGHOST") else _SQLITE}
