"""What users of Flask Management Endpoints find: the same URLs, keys and statuses, asked on real servers."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from judge import Judge
from peers import UP, Peer, answering
from stage import until
from subject import Subject

import liveness
from liveness import Unit
from liveness.flask.addresses import url_of

# Names


def test_the_names_are_those_that_users_import() -> None:
    package = importlib.import_module("liveness.flask")
    blueprint = importlib.import_module("liveness.flask.blueprint")
    assert blueprint.cascading_checks == []
    assert blueprint.checks_with_pluggable_functions == ["health", "readiness", "version_function"]
    assert blueprint.DEFAULT_URL_PREFIX == "/z"
    assert issubclass(blueprint.HealthError, liveness.LivenessError)
    assert package.z_blueprint is blueprint.z_blueprint
    assert package.z_blueprint.name == "management_endpoints"
    assert issubclass(package.Info, dict)
    assert callable(package.ManagementEndpoints)


def test_the_endpoints_have_names_for_url_for(subject: Subject) -> None:
    found = subject.do(
        """
value = [flask.url_for(f"management_endpoints.{name}") for name in ("version", "info", "health")]
value.append(flask.url_for("management_endpoints.nested_health_check", check_name="readiness"))
"""
    )
    assert found == ["/z/version", "/z/info", "/z/health", "/z/health/readiness"]


def test_several_applications_of_one_process_have_prefixes_and_settings_of_their_own(subject: Subject) -> None:
    subject.configure("{'check_functions': {'readiness': {'yes': lambda: True}}}")
    assert subject.get("/z/health/readiness").status == 200
    assert subject.get("/second/admin/health/readiness").status == 503
    assert subject.get("/second/z/health/readiness").status == 404
    for prefix in ("/z", "/again"):
        assert subject.get(f"/third{prefix}/health").json() == {"components": {}, "status": "UP"}
        assert subject.get(f"/third{prefix}/info").json()["app"] == {"name": "third"}


# Methods and paths


@pytest.mark.parametrize("path", ["/z/health", "/z/health/liveness", "/z/health/readiness", "/z/info", "/z/version"])
def test_get_head_and_options_are_answered_and_nothing_else(subject: Subject, path: str) -> None:
    got = subject.get(path)
    head = subject.get(path, method="HEAD")
    assert (got.status, head.status, head.body) == (200, 200, b"")
    assert set(subject.get(path, method="OPTIONS").headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert subject.get(path, method=method).status == 405


@pytest.mark.parametrize("name", ["unknown", "health", "", "x" * 129, "readiness/x", "Liveness"])
def test_an_unknown_check_is_not_found(subject: Subject, name: str) -> None:
    assert subject.get(f"/z/health/{name}").status == 404


def test_a_long_name_is_not_found_though_it_be_a_cascading_check(subject: Subject) -> None:
    subject.do("blueprint.cascading_checks += ['x' * 128, 'x' * 129]")
    assert subject.get("/z/health/" + "x" * 128).status == 200
    assert subject.get("/z/health/" + "x" * 129).status == 404


# Liveness


@pytest.mark.parametrize("name", ["liveness", "ping"])
def test_liveness_runs_no_function_and_asks_no_dependency(subject: Subject, name: str) -> None:
    with Peer(UP) as peer:
        subject.do("ran = []; blueprint.cascading_checks += ['liveness', 'ping', 'readiness']")
        subject.configure(
            "{'service_dependencies': {'a': address},"
            " 'check_functions': {name: {'f': lambda: ran.append(name)} for name in ('liveness', 'ping', 'health')}}",
            address=peer.address,
        )
        answer = subject.get(f"/z/health/{name}")
        assert (answer.status, answer.text) == (200, '{"status": "UP"}')
        assert answer.headers["content-type"] == "application/json"
        assert "no-store" in answer.headers["cache-control"]
        assert peer.requests == []
        assert subject.do("value = ran") == []


# Readiness


def test_readiness_is_up_without_functions(subject: Subject) -> None:
    answer = subject.get("/z/health/readiness")
    assert (answer.status, answer.text, answer.headers["content-type"]) == (200, '{"status": "UP"}', "application/json")


@pytest.mark.parametrize(
    ("returned", "up"),
    [("True", True), ("1", True), ("'no'", True), ("object()", True)]
    + [("{'rows': 1}", True), ("(True, 'fine')", True), ("flask.jsonify(status='UP')", True)]
    + [(value, False) for value in ("False", "0", "None", "''", "[]", "0.0")]
    + [(value, False) for value in ("(False, 'queue lost')", "{'status': 'DOWN'}", "('DOWN', 503)", "'DOWN'")]
    + [(value, False) for value in ("(flask.jsonify(status='UP'), 503)", "(yield)", "lambda: True", "[False]")],
)
def test_the_truth_of_what_a_function_returns_decides(subject: Subject, returned: str, up: bool) -> None:
    subject.configure(f"{{'check_functions': {{'readiness': {{'f': lambda: {returned}}}}}}}")
    answer = subject.get("/z/health/readiness")
    assert (answer.status, answer.json()) == ((200, {"status": "UP"}) if up else (503, {"status": "DOWN"}))
    assert subject.components() == {"f": {"status": "UP" if up else "DOWN"}}


def test_readiness_asks_its_own_functions_only_and_all_of_them(subject: Subject) -> None:
    subject.configure("{'check_functions': {'health': {'h': lambda: False}}}")
    assert subject.get("/z/health/readiness").status == 200
    subject.configure("{'check_functions': {'readiness': {'a': lambda: True, 'b': lambda: False, 'c': lambda: True}}}")
    assert subject.get("/z/health/readiness").status == 503


def test_readiness_asks_dependencies_only_if_it_cascades(subject: Subject) -> None:
    with Peer(answering({"status": "DOWN"}, "503 Service Unavailable")) as peer:
        subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
        assert subject.get("/z/health/readiness").status == 200
        assert peer.requests == []
        subject.do("blueprint.cascading_checks.append('readiness')")
        assert subject.get("/z/health/readiness").status == 503
        assert peer.requests[0].startswith("get /z/health/readiness http/1.1")


def test_a_check_of_another_name_can_cascade(subject: Subject) -> None:
    with Peer(UP) as peer:
        subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
        subject.do("blueprint.cascading_checks.append('startup')")
        assert subject.get("/z/health/startup").json() == {"status": "UP"}
        assert peer.requests[0].startswith("get /z/health/startup http/1.1")


# Health


def test_health_tells_of_dependencies_first_and_then_of_functions(subject: Subject) -> None:
    with Peer(UP) as first, Peer(answering({"status": "DOWN"}, "503 Service Unavailable")) as second:
        subject.configure(
            """{
    'check_functions': {
        'version_function': {'v': lambda: True},
        'readiness': {'r': lambda: True},
        'health': {'h': lambda: True, 'g': lambda: True},
        'other': {'o': lambda: False},
    },
    'service_dependencies': {'z': first, 'a': second},
}""",
            first=first.address,
            second=second.address,
        )
        answer = subject.get("/z/health")
        assert (answer.status, answer.headers["content-type"]) == (503, "application/json")
        assert list(answer.json()) == ["components", "status"]
        assert list(answer.json()["components"].items()) == [
            ("z", {"status": "UP"}),
            ("a", {"status": "DOWN"}),
            *((name, {"status": "UP"}) for name in ("h", "g", "r", "v")),
        ]
        assert first.requests[0].startswith("get /z/health http/1.1")


def test_health_calls_functions_of_the_groups_that_the_application_names(subject: Subject) -> None:
    subject.do("blueprint.checks_with_pluggable_functions[:] = ['readiness']")
    subject.configure("{'check_functions': {'health': {'h': lambda: False}, 'readiness': {'r': lambda: True}}}")
    assert subject.get("/z/health").json() == {"components": {"r": {"status": "UP"}}, "status": "UP"}
    assert subject.get("/z/version").status == 404


@pytest.mark.parametrize(
    ("status", "body", "shown"),
    [
        ("200 OK", {"status": "UP", "version": 7, "components": {"db": {"status": "UP"}}}, "UP"),
        ("200 OK", {"status": "DOWN", "why": "db"}, "DOWN"),
        ("200 OK", {"why": "no status"}, "DOWN"),
        ("503 Service Unavailable", {"status": "DOWN", "why": "db"}, "DOWN"),
        ("500 Internal Server Error", {"status": "UP"}, "DOWN"),
        ("201 Created", {"status": "UP"}, "DOWN"),
    ],
)
def test_a_dependency_is_up_if_it_says_so_with_status_200(
    subject: Subject, status: str, body: dict[str, object], shown: str
) -> None:
    with Peer(answering(body, status)) as peer:
        subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
        answer = subject.get("/z/health")
        assert answer.status == (200 if shown == "UP" else 503)
        assert answer.json()["components"]["a"] == {**body, "status": shown}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_a_dependency_is_up_in_whatever_encoding_it_says_so(subject: Subject, encoding: str) -> None:
    with Peer(answering('{"status": "UP", "who": "für"}'.encode(encoding))) as peer:
        subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
        found = subject.components()["a"]
        assert found["status"] == "UP"
        assert re.fullmatch("f.r" if encoding == "latin-1" else "für", found["who"])


def test_the_settings_are_read_with_every_request_and_not_changed(subject: Subject) -> None:
    subject.configure("{}")
    assert subject.get("/z/health").json() == {"components": {}, "status": "UP"}
    assert subject.do("value = app.config['Z_ENDPOINTS']") == {}
    subject.do("app.config['Z_ENDPOINTS']['check_functions'] = {'health': {'f': lambda: False}}")
    assert subject.get("/z/health").status == 503
    # Another function of the same name.
    subject.do("app.config['Z_ENDPOINTS']['check_functions']['health']['f'] = lambda: True")
    assert subject.get("/z/health").status == 200


def test_a_function_sees_the_application_and_the_request(subject: Subject) -> None:
    subject.do("seen = []")
    subject.configure(
        "{'check_functions': {'health': {'f': lambda: seen.append("
        "[current_app.name, request.path, request.args['a'], flask.url_for('do')]) or True}}}"
    )
    for value in "12":
        assert subject.get(f"/z/health?a={value}").status == 200
    assert subject.do("value = seen") == [["subject", "/z/health", value, "/do"] for value in "12"]


def test_what_the_end_of_a_request_does_is_no_matter_of_a_check(subject: Subject) -> None:
    subject.do(
        """
def end(_):
    if threading.current_thread().name.startswith("liveness-check"):
        g.began
app.teardown_request_funcs[None] = [end]
"""
    )
    subject.configure("{'check_functions': {'health': {'f': lambda: True}}}")
    assert subject.get("/z/health").status == 200


def test_a_function_may_be_a_coroutine_function(subject: Subject) -> None:
    subject.do("async def truth(): return True")
    subject.do("async def lie(): return False")
    subject.configure("{'check_functions': {'health': {'t': truth}}}")
    assert subject.get("/z/health").status == 200
    subject.configure("{'check_functions': {'health': {'t': truth, 'l': lie}}}")
    assert subject.get("/z/health").json()["components"] == {"t": {"status": "UP"}, "l": {"status": "DOWN"}}


def test_a_coroutine_function_has_the_context_of_the_request_and_the_limit(subject: Subject) -> None:
    subject.do(
        """
import asyncio
async def f():
    await asyncio.sleep(0)
    return (current_app.name, request.path) == ("subject", "/z/health")
async def hang():
    await asyncio.sleep(600)
"""
    )
    subject.configure("{'check_functions': {'health': {'f': f}}}")
    assert subject.get("/z/health").status == 200
    subject.do("app.config['BACKEND_TIMEOUT'] = 0.1")
    subject.configure("{'check_functions': {'health': {'f': hang}}}")
    assert subject.get("/z/health").status == 503
    # Nothing goes on after its limit.
    until(lambda: subject.do("value = sum('liveness-check' in t.name for t in threading.enumerate())") == 0)


# Where a dependency is asked


@pytest.mark.parametrize(
    ("address", "check", "url"),
    [
        ("svc", None, "http://svc/z/health"),
        ("svc", "readiness", "http://svc/z/health/readiness"),
        ("svc:80", None, "http://svc:80/z/health"),
        ("svc:80", "readiness", "http://svc:80/z/health/readiness"),
        ("host:80/base", None, "http://host:80/base"),
        ("host:80/base", "readiness", "http://host:80/base/readiness"),
        ("https://users:9922/admin", None, "https://users:9922/admin"),
        ("https://users:9922/admin", "readiness", "https://users:9922/admin/readiness"),
        ("http://users/admin/", "readiness", "http://users/admin/readiness"),
        # A host whose name begins like a scheme is one all the same.
        ("httpbin", None, "http://httpbin/z/health"),
        ("https-proxy:8080/x", "readiness", "http://https-proxy:8080/x/readiness"),
        ("[::1]:8080", None, "http://[::1]:8080/z/health"),
    ],
)
def test_a_host_gets_the_prefix_and_a_url_is_taken_as_it_is(address: str, check: str | None, url: str) -> None:
    assert url_of(address, check, "/z", {}).geturl() == url


def test_the_scheme_of_a_host_is_that_of_the_environment() -> None:
    def scheme(**environment: str) -> str:
        return url_of("svc", None, "/z", environment).scheme

    assert scheme() == "http"
    assert scheme(SCHEME="https") == "https"
    assert scheme(SCHEME="https", PREFERRED_URL_SCHEME="http") == "http"
    assert scheme(PREFERRED_URL_SCHEME="", SCHEME="") == "http"


@pytest.mark.parametrize("address", ["", "local:://host", "ftp://svc", "http://", "svc:port", "http:///x"])
def test_what_is_neither_a_host_nor_a_url_is_refused(address: str) -> None:
    with pytest.raises(liveness.LivenessError, match="neither a host nor a URL"):
        url_of(address, None, "/z", {})


def test_a_mere_host_gets_the_prefix_of_the_settings(subject: Subject) -> None:
    with Peer(UP) as peer:
        for prefix, path in (("/admin", "/admin/health"), ("actuator/", "/actuator/health"), ("", "/health")):
            subject.configure(
                "{'service_dependencies': {'a': address}, 'dependency_prefix': prefix}",
                address=peer.address,
                prefix=prefix,
            )
            assert subject.get("/z/health").status == 200
            assert peer.requests[-1].startswith(f"get {path} ")


# Version


def test_the_version_is_that_of_the_environment(subject: Subject) -> None:
    for version, text in ((None, "unknown"), ("1.2.3", "1.2.3"), ("", "unknown")):
        subject.do("os.environ.pop('VERSION', 0); version and os.environ.update(VERSION=version)", version=version)
        answer = subject.get("/z/version")
        assert (answer.status, answer.text) == (200, text)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    subject.do("os.environb[b'VERSION'] = b'1.\\xff'")
    assert subject.get("/z/version").text == "1.?"


@pytest.mark.parametrize(
    ("returned", "status", "kind", "body"),
    [
        ("'1.2'", 200, "text/plain; charset=utf-8", "1.2"),
        ("('1.2', 418)", 418, "text/html; charset=utf-8", "1.2"),
        ("{'version': 1}", 200, "application/json", '{"version":1}\n'),
        ("flask.Response('x', 203, content_type='text/x')", 203, "text/x", "x"),
    ],
)
def test_what_the_version_function_returns_is_the_answer(
    subject: Subject, returned: str, status: int, kind: str, body: str
) -> None:
    subject.configure(f"{{'version_function': lambda: {returned}}}")
    answer = subject.get("/z/version")
    assert (answer.status, answer.headers["content-type"]) == (status, kind)
    assert answer.text.replace(" ", "") == body.replace(" ", "")


# The state unit


def test_the_unit_turns_liveness_and_readiness_with_health_sh(subject: Subject, rundir: Path, judge: Judge) -> None:
    subject.do("os.environ['LIVENESS_RUNDIR'] = rundir", rundir=str(rundir))
    subject.configure("{'unit': 'u'}")
    subject.do("liveness.load([], unitname='u')")

    def verdicts() -> list[int]:
        return [subject.get(f"/z/health{name}").status for name in ("/liveness", "/ping", "/readiness", "")]

    assert verdicts() == [503, 503, 503, 503]
    subject.do("liveness.set(unitname='u')")
    assert verdicts() == [200, 200, 200, 200]
    assert judge().startswith("healthy")
    assert subject.get("/z/health").json()["unit"]["status"] == "UP"
    subject.do("liveness.set(7, 'queue lost', unitname='u')")
    assert verdicts() == [503, 503, 503, 503]
    assert subject.get("/z/health/liveness").json() == {"status": "DOWN"}
    assert subject.get("/z/health").json()["unit"] == {"status": "DOWN", "reason": "error 7: queue lost"}
    assert judge() == "error 7: queue lost"
    subject.do("liveness.set(unitname='u'); liveness.set_ready(False, 'draining', unitname='u')")
    assert verdicts() == [200, 200, 503, 503]
    assert subject.get("/z/health").json()["unit"]["reason"] == "not ready: draining"
    subject.do("liveness.reset(unitname='u')")
    assert verdicts() == [503, 503, 503, 503]


def test_the_unit_may_be_a_unit_or_the_default_one(subject: Subject, rundir: Path) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    unit.set()
    subject.configure("{'unit': liveness.Unit('u', rundir)}", rundir=str(rundir))
    assert subject.get("/z/health/liveness").status == 200
    subject.do("os.environ.update(LIVENESS_RUNDIR=rundir, LIVENESS_UNIT_NAME='u')", rundir=str(rundir))
    subject.configure("{'unit': True}")
    assert subject.get("/z/health/liveness").status == 200
    subject.do("os.environ['LIVENESS_UNIT_NAME'] = 'v'")
    assert subject.get("/z/health/liveness").status == 503
    subject.do("del os.environ['LIVENESS_UNIT_NAME']")


def test_without_a_unit_no_state_is_looked_at(subject: Subject) -> None:
    for unit in ("None", "False"):
        subject.configure(f"{{'unit': {unit}}}")
        assert subject.get("/z/health/liveness").status == 200
        assert "unit" not in subject.get("/z/health").json()
