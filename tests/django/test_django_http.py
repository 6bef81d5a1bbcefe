"""What a kubelet and everybody else gets over HTTP: gunicorn sync and with threads, uvicorn."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import django
import pytest
from project import MIDDLEWARE, Project
from stage import until
from web import Server

KINDS = ("gunicorn", "gunicorn-gthread", "uvicorn")

PROBES = """
import pathlib, time
from liveness.django.probes import NotReady, ReadinessProbe

class MoodProbe(ReadinessProbe):
    def ready(self, request):
        mood = pathlib.Path("mood").read_text()
        if mood == "refuse":
            raise NotReady("mood: bad", status=520)
        if mood == "break":
            raise ZeroDivisionError("a secret")
        if mood == "two lines":
            raise NotReady("mood: bad") from OSError("one\\ntwo")
        if mood.startswith("GET"):
            assert request.path == mood.split()[1], request.path
        while pathlib.Path("mood").read_text() == "hang":
            time.sleep(0.02)
        return False

class PatientProbe(ReadinessProbe):
    async def ready(self, request):
        if pathlib.Path("mood").read_text() == "await":
            raise NotReady("patient: no")
"""
TOUCHY = """
class TouchyMiddleware:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        from django.db import connection
        connection.cursor().execute("SELECT no_such_column")
"""
URLS = """
import threading
from django.http import HttpResponse
from django.urls import path

async def where(request):
    return HttpResponse(threading.current_thread().name)

def threads(request):
    return HttpResponse("\\n".join(thread.name for thread in threading.enumerate()))

urlpatterns = [path("where", where), path("threads", threads)]
"""
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "log: %(name)s %(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}


@pytest.fixture(scope="module", params=KINDS)
def strict(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With all that breaks probes elsewhere behind the middleware."""
    project = Project(
        tmp_path_factory.mktemp("strict"),
        ALLOWED_HOSTS=["example.org"],
        SECURE_SSL_REDIRECT=True,
        SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
        MIDDLEWARE=[
            MIDDLEWARE,
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.common.CommonMiddleware",
            # Of a database in which there is no table for them.
            "django.contrib.sessions.middleware.SessionMiddleware",
            "touchy.TouchyMiddleware",
        ],
        INSTALLED_APPS=["django.contrib.sessions", "liveness.django"],
        SESSION_SAVE_EVERY_REQUEST=True,
    )
    project.write("touchy.py", TOUCHY)
    with project.serve(request.param) as server:
        yield server


@pytest.mark.parametrize("path", ["/livez", "/healthz", "/readyz", "/readyz?verbose"])
def test_a_probe_is_answered_before_anything_else_has_a_say(strict: Server, path: str) -> None:
    answer = strict.get(path, headers={"Host": "10.0.0.7:8000", "User-Agent": "kube-probe/1.31"})
    assert (answer.status, answer.text) == (200, "Ok")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["content-length"] == "2"
    assert answer.headers["cache-control"] == "private, max-age=0, no-store"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/livez"), ("POST", "/readyz"), ("GET", "/livez/"), ("GET", "/readyz/x"), ("GET", "/"), ("GET", "/live")],
)
def test_everything_else_passes_through(strict: Server, method: str, path: str) -> None:
    assert strict.get(path, method=method, headers={"Host": "example.org"}).status == 301


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_head_is_answered_as_get_without_the_body(strict: Server, path: str) -> None:
    answer = strict.get(path, method="HEAD", headers={"Host": "10.0.0.7:8000"})
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "2")


def test_what_breaks_behind_the_middleware_breaks(strict: Server) -> None:
    headers = {"Host": "example.org", "X-Forwarded-Proto": "https"}
    assert strict.get("/hello", headers=headers).status == 500


class Moody:
    """A server whose readiness is what a file says."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.kind = kind
        self.project = Project(
            folder,
            urls=URLS,
            ADMINS=["admin@example.org"] if django.VERSION >= (6,) else [("admin", "admin@example.org")],
            EMAIL_BACKEND="django.core.mail.backends.filebased.EmailBackend",
            EMAIL_FILE_PATH=str(folder / "mail"),
            LOGGING=LOGGING,
            DJK8S_READINESS_PROBES=["probes.PatientProbe", "probes.MoodProbe"],
            DJK8S_READY_PATHS="/readyz",
            DJK8S_HEALTH_PATHS=["/livez"],
        )
        self.project.write("probes.py", PROBES)
        self.set("fine")
        self.server = self.project.serve(kind)

    def set(self, mood: str) -> None:
        new = self.project.folder / "mood.new"
        new.write_text(mood)
        new.rename(self.project.folder / "mood")

    def is_ready(self) -> bool:
        return self.server.get("/readyz").status == 200

    def log(self) -> str:
        return self.server.log.read_text()

    def threads(self) -> list[str]:
        """The names of all but those that gunicorn has for requests, which are as many as it happens to need."""
        found = self.server.get("/threads").text.splitlines()
        if self.kind != "gunicorn-gthread":
            return found
        return [name for name in found if not name.startswith("ThreadPoolExecutor-0_")]


@pytest.fixture(scope="module", params=KINDS)
def a_moody(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moody]:
    made = Moody(tmp_path_factory.mktemp("moody"), request.param)
    with made.server:
        yield made


@pytest.fixture
def moody(a_moody: Moody) -> Moody:
    a_moody.set("fine")
    until(a_moody.is_ready)
    return a_moody


@pytest.mark.parametrize(
    ("mood", "status", "text"),
    [
        ("refuse", 520, "mood: bad"),
        ("break", 503, "Not ready"),
        ("two lines", 503, "mood: bad"),
        ("await", 503, "patient: no"),
    ],
)
def test_a_probe_that_refuses_says_what_is_answered(moody: Moody, mood: str, status: int, text: str) -> None:
    moody.set(mood)
    answer = moody.server.get("/readyz")
    assert (answer.status, answer.text) == (status, text)
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["content-length"] == str(len(text))
    assert moody.server.get("/livez").status == 200


def test_a_probe_has_the_request_of_who_asks(moody: Moody) -> None:
    moody.set("GET /readyz")
    assert moody.is_ready()


@pytest.mark.parametrize(
    ("mood", "line"),
    [
        ("refuse", "MoodProbe: not ready: mood: bad"),
        ("break", "MoodProbe: not ready: ZeroDivisionError: a secret"),
        ("two lines", "MoodProbe: not ready: mood: bad (OSError: one two)"),
        ("await", "PatientProbe: not ready: patient: no"),
    ],
)
def test_a_change_is_one_line_in_the_log_and_no_error_of_a_request_and_no_mail(
    moody: Moody, mood: str, line: str
) -> None:
    before = len(moody.log())
    moody.set(mood)
    for _ in range(3):
        assert not moody.is_ready()
    moody.set("fine")
    for _ in range(3):
        assert moody.is_ready()
    logged = re.findall("log: .*", moody.log()[before:])
    logged = [found for found in logged if "uvicorn" not in found]
    assert logged == [
        f"log: djk8s.probe ERROR {line}",
        f"log: djk8s.probe WARNING {line.partition(':')[0]}: ready again",
    ]
    assert "Traceback" not in moody.log()[before:]
    assert not (moody.project.folder / "mail").exists()


def test_a_probe_that_hangs_is_unavailable_in_its_time_and_then_at_once(moody: Moody) -> None:
    before = moody.threads()
    moody.set("hang")
    begin = time.monotonic()
    answer = moody.server.get("/readyz")
    assert 0.7 < time.monotonic() - begin < 1.6
    assert (answer.status, answer.text) == (503, "Not ready")
    begin = time.monotonic()
    for _ in range(10):
        assert moody.server.get("/readyz").status == 503
        assert moody.server.get("/livez").status == 200
    assert time.monotonic() - begin < 0.7
    assert moody.threads().count("liveness-check-MoodProbe") == 1
    # That of the probe, and one that a server has for requests, when those of earlier requests have ended.
    until(lambda: len(moody.threads()) <= len(before) + 2)
    moody.set("fine")
    until(moody.is_ready)


def test_many_who_ask_at_once_wait_for_one_answer(moody: Moody) -> None:
    moody.set("hang")
    with ThreadPoolExecutor(20) as many:
        begin = time.monotonic()
        answers = list(many.map(lambda _: moody.server.get("/readyz").status, range(20)))
    assert time.monotonic() - begin < 1.5
    assert answers == [503] * 20


@pytest.mark.parametrize("a_moody", ["uvicorn"], indirect=True)
def test_a_hung_probe_does_not_hold_up_the_event_loop(moody: Moody) -> None:
    moody.set("hang")
    with ThreadPoolExecutor(1) as other:
        asked = other.submit(moody.server.get, "/readyz")
        slowest = 0.0
        while not asked.done():
            begin = time.monotonic()
            assert moody.server.get("/livez").status == 200
            slowest = max(slowest, time.monotonic() - begin)
    assert slowest < 0.4


@pytest.mark.parametrize("a_moody", ["uvicorn"], indirect=True)
def test_an_async_application_is_served_in_the_thread_of_its_event_loop(moody: Moody) -> None:
    assert moody.server.get("/where").text == "MainThread"


VIEWS = """
from django.urls import include, path
from liveness.django.views import LivenessView, ReadinessView
urlpatterns = [
    path("", include("liveness.django.urls")),
    path("k/live", LivenessView.as_view(), name="k-live"),
    path("k/ready", ReadinessView.as_view(), name="k-ready"),
]
"""


@pytest.fixture(scope="module", params=KINDS)
def views(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Server]]:
    folder = tmp_path_factory.mktemp("views")
    project = Project(folder, urls=VIEWS, MIDDLEWARE=[], DJK8S_READINESS_PROBES=["probes.MoodProbe"], LOGGING=LOGGING)
    project.write("probes.py", PROBES)
    project.write("mood", "fine")
    with project.serve(request.param) as server:
        yield project, server


def test_the_views_answer_as_the_middleware_does(views: tuple[Project, Server]) -> None:
    project, server = views
    for path in ("/livez", "/healthz", "/readyz", "/k/live", "/k/ready"):
        answer = server.get(path)
        assert (answer.status, answer.text, answer.headers["content-type"]) == (200, "Ok", "text/plain"), path
        head = server.get(path, method="HEAD")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "2")
        assert server.get(path, method="POST").status == 405
    project.write("mood", "refuse")
    assert (server.get("/readyz").status, server.get("/readyz").text) == (520, "mood: bad")
    assert server.get("/readyz", method="HEAD").status == 520
    assert server.get("/livez").status == 200
    assert "django.request ERROR" not in server.log.read_text()
    project.write("mood", "fine")
