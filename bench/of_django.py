"""
What probes cost in Django, beside django-kubernetes, which had the same settings, paths and commands first.

    python bench/of_django.py [ROUNDS]

Writes bench/of_django.json. In each round (default: 200) each package gets one request of each kind, in random order.
A path that passes through and /livez are asked in one process, through the WSGI handler, on one core. /readyz is asked
as a kubelet asks: over HTTP from gunicorn with one worker, each time on a new connection after a pause, with SQLite and
with a PostgreSQL that is started for it. The figures are microseconds of one request. Then, in a quarter of the rounds,
the commands: CPU and wall time of one manage.py probe --live of each package, and of health.sh, in milliseconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from timing import Summary, calls, commands, ratios, summary, tool, write  # noqa: E402

PACKAGES = {"liveness": "liveness.django", "django-kubernetes": "djk8s"}
BASE = "django-kubernetes"
#: Seconds in which the process that PostgreSQL had for the last request ends.
PAUSE = 0.02
URLS = """
from django.http import HttpResponse
from django.urls import path

def hello(request):
    return HttpResponse("hello")

urlpatterns = [path("hello", hello)]
"""
SETTINGS = """
SECRET_KEY = "x" * 50
USE_TZ = True
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["{package}"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}}}
"""
MANAGE = """
import sys
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""


def ask(database: dict[str, Any], paths: dict[str, str], rounds: int, each: int) -> dict[str, list[float]]:
    """In a process of its own, in a folder with urls.py: microseconds of one request, for each path and package."""
    sys.path.insert(0, "")

    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import RequestFactory, override_settings

    settings.configure(
        ALLOWED_HOSTS=["*"], ROOT_URLCONF="urls", USE_TZ=True, MIDDLEWARE=[], DATABASES={"default": database}
    )
    django.setup()
    factory = RequestFactory()

    def asking(handler: WSGIHandler, path: str) -> Callable[[], object]:
        environ = factory._base_environ(PATH_INFO=path, REQUEST_METHOD="GET")  # type: ignore[attr-defined]
        statuses: list[str] = []

        def start_response(status: str, headers: object, error: object = None) -> Callable[[bytes], object]:
            statuses.append(status)
            return len

        def once() -> None:
            response = handler(dict(environ), start_response)
            b"".join(response)
            response.close()
            if statuses.pop() != "200 OK":
                raise SystemExit(f"{path}: not 200")

        once()
        return once

    functions = {}
    for name, package in PACKAGES.items():
        with override_settings(MIDDLEWARE=[f"{package}.middleware.ProbeMiddleware"]):
            handler = WSGIHandler()
        for what, path in paths.items():
            functions[f"{what}, {name}"] = asking(handler, path)
    return calls(functions, each, rounds)


def requests(folder: Path, rounds: int) -> dict[str, list[float]]:
    from services import Postgres

    (folder / "urls.py").write_text(URLS)
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "db.sqlite3")}
    cores = os.sched_getaffinity(0)
    # Waking another core takes as long as what is compared, and is needed only now and then.
    os.sched_setaffinity(0, {max(cores)})
    try:
        found = _apart(folder, sqlite, {"passes through": "/hello", "/livez": "/livez"}, rounds, 100)
    finally:
        os.sched_setaffinity(0, cores)
    found.update(as_a_kubelet(folder, "/readyz, SQLite", sqlite, rounds))
    with Postgres() as postgres:
        # PostgreSQL starts a process each time, which takes now more, now less.
        found.update(as_a_kubelet(folder, "/readyz, PostgreSQL", postgres.configured(), rounds * 2))
    return found


def as_a_kubelet(folder: Path, what: str, database: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """Microseconds of one request over HTTP for each package."""
    from project import Project

    with ExitStack() as servers:
        functions = {}
        for name, package in PACKAGES.items():
            home = folder / f"{database['ENGINE']} {package}"
            home.mkdir()
            middleware = [f"{package}.middleware.ProbeMiddleware"]
            project = Project(home, database, MIDDLEWARE=middleware, INSTALLED_APPS=[package])
            functions[f"{what}, {name}"] = _asking_server(servers.enter_context(project.serve()))
        return calls(functions, 1, rounds, PAUSE)


def _asking_server(server: Any) -> Callable[[], object]:
    def once() -> None:
        if server.get("/readyz").status != 200:
            raise SystemExit("/readyz: not 200")

    once()
    return once


def _apart(folder: Path, *arguments: object) -> dict[str, list[float]]:
    command = [sys.executable, str(Path(__file__).resolve()), "--ask", json.dumps(arguments)]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True)
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def probes(folder: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """CPU and wall time of each command, in milliseconds."""
    from liveness import Unit

    unit = Unit("one", folder)
    unit.load([])
    unit.set()
    environment = {"PATH": os.environ["PATH"], "LIVENESS_RUNDIR": str(folder), "LIVENESS_UNIT_NAME": "one"}
    candidates = {"health.sh": ([tool("sh"), str(ROOT / "health.sh")], environment)}
    for name, package in PACKAGES.items():
        project = folder / package
        project.mkdir()
        for file, text in (("urls.py", URLS), ("settings.py", SETTINGS.format(package=package)), ("manage.py", MANAGE)):
            (project / file).write_text(text)
        path = f"{project}{os.pathsep}{ROOT}"
        candidates[f"manage.py probe --live, {name}"] = (
            [sys.executable, str(project / "manage.py"), "probe", "--live", "--quiet"],
            {**environment, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "settings"},
        )
    for command in candidates.values():
        # Once, so that none of them writes the bytecode of its modules in the first round.
        subprocess.run(command[0], env=dict(command[1]), check=True)
    times = commands(candidates, rounds)
    unit.reset()
    return times


def times_of(found: dict[str, list[float]]) -> dict[str, Summary]:
    """How many times what django-kubernetes takes, in the same round."""
    return {
        name.removesuffix(", liveness"): ratios(values, found[name.removesuffix("liveness") + BASE])
        for name, values in found.items()
        if name.endswith(", liveness")
    }


def measure(folder: Path, rounds: int) -> dict[str, object]:
    asked = requests(folder, rounds)
    run = probes(folder, max(2, rounds // 4))
    cpu = {name: [cost for cost, _ in values] for name, values in run.items()}
    wall = {name: [lasted for _, lasted in values] for name, values in run.items()}
    return {
        "request, us": {name: summary(values) for name, values in asked.items()},
        "cpu, ms": {name: summary(values) for name, values in cpu.items()},
        "wall, ms": {name: summary(values) for name, values in wall.items()},
        "times": {**times_of(asked), **times_of(cpu)},
    }


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="liveness-bench-") as folder:
        Path(folder).chmod(0o755)
        write(measure(Path(folder), rounds), Path(__file__).with_suffix(".json"), rounds)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ask"]:
        print(json.dumps(ask(*json.loads(sys.argv[2]))))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
