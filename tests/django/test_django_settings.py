"""The settings: defaults, mistakes, and what is read again when they change. In this process."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import clear_url_caches, reverse
from django.views import View
from project import MIDDLEWARE

from liveness.django import conf, middleware, probes, readiness, urls, views
from liveness.django.middleware import ProbeMiddleware
from liveness.django.probes import DatabaseProbe, MemcachedProbe, NotReady, ReadinessProbe
from liveness.django.views import LivenessView, ReadinessView

HERE = __name__


class FineProbe(ReadinessProbe):
    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def ready(self, request: HttpRequest | None) -> str:
        return "no matter"


class RefusingProbe(ReadinessProbe):
    def ready(self, request: HttpRequest | None) -> None:
        raise NotReady("refused", status=418)


class AnotherProbe(ReadinessProbe):
    def ready(self, request: HttpRequest | None) -> None:
        raise NotReady("another")


def passed_on(request: HttpRequest) -> HttpResponse:
    return HttpResponse("passed on")


def ask(path: str, probe: ProbeMiddleware | None = None) -> tuple[int, str]:
    request = HttpRequest()
    request.method, request.path_info = "GET", path
    answer = (probe or ProbeMiddleware(passed_on))(request)
    return answer.status_code, answer.content.decode()


def test_the_response_to_head_has_the_length_of_the_body_and_no_body() -> None:
    request = HttpRequest()
    for path in ("/livez", "/readyz"):
        request.method, request.path_info = "HEAD", path
        answer = ProbeMiddleware(passed_on)(request)
        assert (answer.status_code, answer.content, answer["Content-Length"]) == (200, b"", "2")


def probing(*names: str) -> Any:
    return override_settings(DJK8S_READINESS_PROBES=[f"{HERE}.{name}" for name in names])


def test_the_defaults_are_those_of_django_kubernetes() -> None:
    assert [DatabaseProbe, MemcachedProbe] == conf.settings.DJK8S_READINESS_PROBES
    assert conf.settings.DJK8S_READY_PATHS == ("/readyz",)
    assert conf.settings.DJK8S_HEALTH_PATHS == ("/healthz", "/livez")
    assert conf.settings.DJK8S_TIMEOUT == 0.8
    assert not conf.settings.DJK8S_UNIT
    assert apps.get_app_config("liveness").name == "liveness.django"


def test_a_name_that_is_no_setting_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="not a setting"):
        _ = conf.settings.DEBUG
    with pytest.raises(AttributeError):
        _ = conf.settings.DJK8S_NO_SUCH


def test_settings_are_read_when_they_are_asked_for() -> None:
    with override_settings(DJK8S_READY_PATHS=["/a", "/b"], DJK8S_READINESS_PROBES=(f"{HERE}.FineProbe",)):
        assert conf.settings.DJK8S_READY_PATHS == ["/a", "/b"]
        assert [found.__name__ for found in conf.settings.DJK8S_READINESS_PROBES] == ["FineProbe"]
    assert conf.settings.DJK8S_READY_PATHS == ("/readyz",)


def test_not_ready_is_503_unless_told() -> None:
    refusal = NotReady()
    assert (refusal.content, refusal.status, str(refusal)) == ("Not ready", 503, "Not ready")
    refusal = NotReady("brewing", 418)
    answer = refusal.response()
    assert (answer.status_code, answer.content, answer["Content-Type"]) == (418, b"brewing", "text/plain")
    assert (refusal.content, refusal.status) == ("brewing", 418)


@pytest.mark.parametrize(
    ("content", "status", "text", "code"),
    [(b"bytes", 503, "bytes", 503), (ValueError("v"), "418", "v", 418), ("x", 700, "x", 503), ("x", None, "x", 503),
     ("\udcff", 503, "?", 503)],
)  # fmt: skip
def test_what_is_no_text_or_no_status_is_an_answer_all_the_same(
    content: Any, status: Any, text: str, code: int
) -> None:
    answer = NotReady(content, status).response()
    assert (answer.status_code, answer.content.decode()) == (code, text)


def test_a_probe_without_ready_cannot_be_made() -> None:
    assert inspect.isabstract(ReadinessProbe)
    with pytest.raises(TypeError):
        ReadinessProbe()  # type: ignore[abstract]


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"DJK8S_READINESS_PROBES": []}, ImproperlyConfigured, "no probe "),
        ({"DJK8S_READINESS_PROBES": ["django.http.HttpRequest"]}, ImproperlyConfigured, "not a ReadinessProbe"),
        ({"DJK8S_READINESS_PROBES": ["django.http.HttpResponseRedirect"]}, ImproperlyConfigured, "cannot be made"),
        ({"DJK8S_READINESS_PROBES": [7]}, ImproperlyConfigured, "cannot be made"),
        ({"DJK8S_READINESS_PROBES": 7}, ImproperlyConfigured, "neither a string nor a list"),
        ({"DJK8S_READINESS_PROBES": ["no.such.Probe"]}, ImportError, "'no.such.Probe'"),
        ({"DJK8S_READINESS_PROBES": ["NoDot"]}, ImportError, "'NoDot'"),
        ({"DJK8S_READY_PATHS": [], "DJK8S_HEALTH_PATHS": ()}, ImproperlyConfigured, "no path"),
        ({"DJK8S_READY_PATHS": ["readyz"]}, ImproperlyConfigured, "'readyz': not a path from the root"),
        ({"DJK8S_HEALTH_PATHS": ""}, ImproperlyConfigured, "''"),
        ({"DJK8S_HEALTH_PATHS": None}, ImproperlyConfigured, "None"),
        ({"DJK8S_TIMEOUT": 0}, ImproperlyConfigured, "more than 0"),
        ({"DJK8S_TIMEOUT": "1"}, ImproperlyConfigured, "'1'"),
        ({"DJK8S_UNIT": "../x"}, ImproperlyConfigured, "DJK8S_UNIT"),
        ({"DJK8S_UNIT": 7}, ImproperlyConfigured, "DJK8S_UNIT"),
    ],
)
def test_a_mistake_is_found_at_the_start(settings: dict[str, Any], error: type[Exception], words: str) -> None:
    with override_settings(**settings), pytest.raises(error, match=words):
        ProbeMiddleware(passed_on)


@pytest.mark.parametrize("probes", [[], ["django.http.HttpRequest"]])
def test_the_views_find_a_mistake_when_the_urls_are_read(probes: list[str]) -> None:
    with override_settings(DJK8S_READINESS_PROBES=probes), pytest.raises(ImproperlyConfigured):
        ReadinessView.as_view()


def test_a_plain_string_is_one_path_and_one_probe() -> None:
    with override_settings(
        DJK8S_READY_PATHS="/r", DJK8S_HEALTH_PATHS="/h", DJK8S_READINESS_PROBES=f"{HERE}.RefusingProbe"
    ):
        assert (conf.settings.DJK8S_READY_PATHS, conf.settings.DJK8S_HEALTH_PATHS) == (("/r",), ("/h",))
        assert ask("/r") == (418, "refused")
        assert ask("/h") == (200, "Ok")
        assert ask("/") == (200, "passed on")
        assert ask("r") == (200, "passed on")


def test_a_subclass_may_answer_for_itself() -> None:
    class Draining(ProbeMiddleware):
        def ready(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("draining", status=503)

    assert ask("/readyz", Draining(passed_on)) == (503, "draining")
    assert ask("/livez", Draining(passed_on)) == (200, "Ok")


def test_the_root_is_answered_only_by_who_asked_for_that() -> None:
    with override_settings(DJK8S_HEALTH_PATHS=["/"]):
        assert ask("/") == (200, "Ok")


def test_the_first_in_the_order_of_the_settings_is_heard() -> None:
    for names, said in (
        (("FineProbe", "RefusingProbe", "AnotherProbe"), (418, "refused")),
        (("AnotherProbe", "FineProbe", "RefusingProbe"), (503, "another")),
        (("FineProbe", "FineProbe"), (200, "Ok")),
    ):
        with probing(*names):
            assert ask("/readyz") == said


def test_a_middleware_that_was_made_before_reads_settings_again_when_they_change() -> None:
    probe = ProbeMiddleware(passed_on)
    assert ask("/readyz", probe) == (200, "Ok")
    with probing("RefusingProbe"), override_settings(DJK8S_READY_PATHS="/r"):
        assert ask("/r", probe) == (418, "refused")
        assert ask("/readyz", probe) == (200, "passed on")
    assert ask("/readyz", probe) == (200, "Ok")


def test_a_mistake_within_a_test_is_not_raised_where_settings_are_changed() -> None:
    probe = ProbeMiddleware(passed_on)
    with override_settings(DJK8S_READINESS_PROBES=[]), pytest.raises(ImproperlyConfigured):
        ask("/readyz", probe)
    with override_settings(DJK8S_READY_PATHS="readyz"), pytest.raises(ImproperlyConfigured):
        ask("/x", probe)
    assert ask("/x", probe) == (200, "passed on")


async def passed_on_async(request: HttpRequest) -> HttpResponse:
    return passed_on(request)


def test_the_middleware_is_of_the_kind_of_what_it_stands_before() -> None:
    assert not iscoroutinefunction(ProbeMiddleware(passed_on))
    assert iscoroutinefunction(ProbeMiddleware(passed_on_async))


def test_one_who_hangs_up_does_not_take_the_answer_from_another() -> None:
    probe = ProbeMiddleware(passed_on_async)
    request = HttpRequest()
    request.method, request.path_info = "GET", "/readyz"

    async def two_of_whom_one_hangs_up() -> bytes:
        first, second = (asyncio.ensure_future(probe(request)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        return bytes((await second).content)

    # Each time in another event loop.
    for _ in range(3):
        assert asyncio.run(two_of_whom_one_hangs_up()) == b"Ok"


def test_probes_are_made_once_for_middleware_and_views() -> None:
    with probing("FineProbe"):
        FineProbe.made = 0
        probe = ProbeMiddleware(passed_on)
        for _ in range(3):
            assert ask("/readyz", probe) == (200, "Ok")
            assert ReadinessView.as_view()(get()).status_code == 200
        assert FineProbe.made == 1
        assert [type(found) for found in ReadinessView.probes] == [FineProbe]


def get() -> HttpRequest:
    request = HttpRequest()
    request.method = "GET"
    return request


def test_a_view_may_have_probes_of_its_own() -> None:
    class Deep(ReadinessView):
        probes = [RefusingProbe()]  # noqa: RUF012

    assert Deep.as_view()(get()).status_code == 418
    assert ReadinessView.as_view(probes=[AnotherProbe()])(get()).content == b"another"  # type: ignore[attr-defined]
    assert ReadinessView.as_view()(get()).status_code == 200
    for view in (LivenessView, ReadinessView):
        assert issubclass(view, View)


def test_djangos_own_client_gets_answers_and_every_name_has_its_url() -> None:
    with override_settings(MIDDLEWARE=[MIDDLEWARE]):
        assert Client().get("/livez", headers={"host": "not.allowed"}).content == b"Ok"
        assert Client().get("/hello").content == b"hello"
    with override_settings(ROOT_URLCONF="liveness.django.urls"):
        for name, path in (("liveness-probe", "livez"), ("health-probe", "healthz"), ("readiness-probe", "readyz")):
            assert reverse(name) == f"/{path}"
            assert Client().get(f"/{path}").content == b"Ok"
    clear_url_caches()


def test_what_a_user_of_django_kubernetes_imports_is_there() -> None:
    for module, names in {
        "middleware": ["ProbeMiddleware"],
        "views": ["LivenessView", "ReadinessView"],
        "urls": ["urlpatterns"],
        "probes": ["ReadinessProbe", "NotReady", "DatabaseProbe", "MemcachedProbe"],
        "conf": ["settings"],
        "management.commands.wait4db": ["wait_for_database"],
    }.items():
        found = importlib.import_module(f"liveness.django.{module}")
        assert [name for name in names if not hasattr(found, name)] == []
    assert readiness.logger.name == "djk8s.probe"
    assert {middleware, urls, views, probes}
