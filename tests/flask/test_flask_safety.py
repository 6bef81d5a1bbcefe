"""What broke Flask Management Endpoints breaks nothing here: hangs, odd answers, loops, and settings that are wrong."""

from __future__ import annotations

import gzip
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from peers import UP, Peer, answering, closing, dripping, dripping_its_head, endless, hanging
from stage import until
from subject import APP, Subject
from web import Kubelet, Server, free_port

from liveness.flask import HealthError, dependencies
from liveness.flask.addresses import url_of


@pytest.fixture
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with Peer(request.param) as made:
        yield made


def lasted(call: Callable[[], object]) -> float:
    begin = time.monotonic()
    call()
    return time.monotonic() - begin


def threads_of(subject: Subject) -> int:
    """That run checks."""
    return int(subject.do("value = sum('liveness-check' in t.name for t in threading.enumerate())"))


# Dependencies that hang


@pytest.mark.parametrize("act", [hanging, dripping, dripping_its_head], ids=lambda act: act.__name__)
def test_three_dependencies_that_hang_cost_one_limit_once(subject: Subject, act: Any) -> None:
    with Peer(act) as a, Peer(act) as b, Peer(act) as c, Peer(UP) as d:
        subject.configure(
            "{'service_dependencies': addresses}",
            addresses={name: peer.address for name, peer in zip("abcd", (a, b, c, d), strict=True)},
        )
        assert 0.7 < lasted(lambda: subject.get("/z/health")) < 2
        for _ in range(5):
            begin = time.monotonic()
            answer = subject.get("/z/health")
            assert time.monotonic() - begin < 0.6
            assert answer.status == 503
            assert answer.json()["components"] == {
                **{name: {"status": "DOWN"} for name in "abc"},
                "d": {"status": "UP"},
            }
        assert threads_of(subject) <= 4


def test_a_function_that_hangs_costs_one_limit_once_and_comes_back(subject: Subject) -> None:
    subject.do("gate = threading.Event()")
    subject.configure("{'check_functions': {'readiness': {'f': lambda: gate.wait(600)}}}")
    assert 0.7 < lasted(lambda: subject.get("/z/health/readiness")) < 2
    for _ in range(5):
        assert lasted(lambda: subject.get("/z/health/readiness")) < 0.6
    assert threads_of(subject) == 1
    subject.do("gate.set()")
    until(lambda: subject.get("/z/health/readiness").status == 200)


def test_a_function_that_is_slow_each_time_costs_one_limit_once(subject: Subject) -> None:
    subject.do("gate, ran = threading.Event(), []")
    subject.configure("{'check_functions': {'readiness': {'f': lambda: ran.append(1) or gate.wait(600)}}}")
    assert 0.7 < lasted(lambda: subject.get("/z/health/readiness")) < 2
    began = time.monotonic()
    for times in (2, 3):
        # It ends, too late; and is asked again, and nobody waits.
        until(lambda began=began: time.monotonic() > began + 1)  # type: ignore[misc]
        subject.do("gate.set()")
        until(lambda: threads_of(subject) == 0)
        subject.do("gate.clear()")
        began = time.monotonic()
        assert lasted(lambda: subject.get("/z/health/readiness")) < 0.6
        until(lambda times=times: subject.do("value = len(ran)") == times)  # type: ignore[misc]
    subject.do("gate.set()")


def test_the_limit_is_that_of_the_application_for_all_together(subject: Subject) -> None:
    subject.do("app.config['BACKEND_TIMEOUT'] = 0.2")
    with Peer(hanging) as a, Peer(hanging) as b:
        subject.configure("{'service_dependencies': addresses}", addresses={"a": a.address, "b": b.address})
        assert 0.15 < lasted(lambda: subject.get("/z/health")) < 0.8


def test_a_limit_for_connection_and_answer_is_taken_as_both_together(subject: Subject) -> None:
    with Peer(answering({"status": "UP"}, after=1)) as slow:
        subject.configure("{'service_dependencies': {'a': address}}", address=slow.address)
        subject.do("app.config['BACKEND_TIMEOUT'] = (1, 20)")
        assert subject.get("/z/health").status == 200


def test_what_a_dependency_said_before_it_hung_is_not_shown(subject: Subject) -> None:
    def once(connection: Any, peer: Peer) -> None:
        if len(peer.requests) == 1:
            answering({"status": "UP", "version": 7})(connection, peer)
        else:
            hanging(connection, peer)

    subject.do("app.config['BACKEND_TIMEOUT'] = 0.2")
    with Peer(once) as peer:
        subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
        assert subject.components() == {"a": {"status": "UP", "version": 7}}
        assert subject.components() == {"a": {"status": "DOWN"}}


def test_dependencies_are_asked_at_the_same_time(subject: Subject) -> None:
    arrived = threading.Barrier(3, timeout=20)

    def together(connection: Any, peer: Peer) -> None:
        arrived.wait()
        UP(connection, peer)

    with Peer(together) as a, Peer(together) as b, Peer(together) as c:
        subject.do("app.config['BACKEND_TIMEOUT'] = 20")
        subject.configure(
            "{'service_dependencies': addresses}",
            addresses={name: peer.address for name, peer in zip("abc", (a, b, c), strict=True)},
        )
        assert subject.get("/z/health").status == 200


@pytest.mark.parametrize("act", [hanging, dripping], ids=lambda act: act.__name__)
def test_a_request_that_hangs_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    monkeypatch.setattr(dependencies, "LIMIT", 0.7)
    with Peer(act) as peer:
        asked = dependencies.Dependency(url_of(peer.address, None, "/z"), 0)
        begin = time.monotonic()
        with pytest.raises(HealthError, match=f"http://{peer.address}/z/health: TimeoutError: timed out"):
            asked()
        assert 0.6 < time.monotonic() - begin < 3


@pytest.mark.minute
def test_a_silent_dependency_starves_no_liveness_in_one_sync_worker(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with Peer(hanging) as peer, Server(tmp_path, "gunicorn") as server:
        subject = Subject(server)
        subject.do("blueprint.cascading_checks.append('readiness')")
        subject.configure(
            "{'service_dependencies': {'a': address},"
            " 'check_functions': {'readiness': {'f': lambda: threading.Event().wait(600)}}}",
            address=peer.address,
        )
        kubelet = Kubelet(server.port, ["/z/health/liveness", "/z/health/readiness", "/z/health"])
        threading.Event().wait(60)
        probes = kubelet.end()
        lives = probes["/z/health/liveness"]
        assert len(lives) >= 55
        assert [probe for probe in lives if not probe.passed and probe.begin >= 1] == []
        assert not any(probe.passed for probe in probes["/z/health/readiness"] + probes["/z/health"])
        # A function, the readiness of the service, and its health.
        assert threads_of(subject) <= 3


# Dependencies that answer oddly


@pytest.mark.parametrize(
    "body",
    [b"[]", b"7", b"null", b'"UP"', b"", b"UP", b"\xff\xfe", b"{", b"[" * 100_000, b'{"status": ["UP"]}',
     b'{"status": 1}', b'{"a":' * 5000 + b"1" + b"}" * 5000],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
def test_an_odd_answer_is_down_and_one_line_in_the_log(subject: Subject, body: bytes) -> None:
    with Peer(answering(body)) as peer:
        subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
        for _ in range(3):
            answer = subject.get("/z/health")
            assert answer.status == 503
            assert answer.json()["status"] == "DOWN"
        assert subject.log.count(f"http://{peer.address}/z/health") + subject.log.count("its response is not JSON") >= 1
        assert "Traceback" not in subject.log


def test_a_number_that_is_no_json_does_not_get_into_ours(subject: Subject) -> None:
    with Peer(answering(b'{"status": "UP", "x": NaN, "y": [Infinity, 1e999, 1.5]}')) as peer:
        subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
        answer = subject.get("/z/health")
        assert "NaN" not in answer.text
        assert answer.json()["components"]["a"] == {"status": "UP", "x": None, "y": [None, None, 1.5]}


def test_no_depth_of_brackets_is_an_error_of_ours(subject: Subject) -> None:
    for depth in range(860, 1010, 6):
        with Peer(answering(b'{"status": "UP", "a": ' + b'{"a": ' * depth + b"1" + b"}" * depth + b"}")) as peer:
            subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
            answer = subject.get("/z/health")
            # Not parsed here: that has a limit of its own.
            assert answer.text.endswith('"status": "UP"}' if answer.status == 200 else '"status": "DOWN"}')
            assert answer.status in (200, 503)


def test_a_packed_answer_is_read_and_one_that_unpacks_without_end_is_not(subject: Subject) -> None:
    up = gzip.compress(b'{"status": "UP"}')
    bomb = gzip.compress(gzip.compress(b'{"status": "UP", "x": "' + b"x" * 300_000_000))
    with (
        Peer(answering(up, headers="Content-Encoding: gzip\r\n")) as small,
        Peer(answering(bomb, headers="Content-Encoding: gzip, gzip\r\n")) as large,
    ):
        subject.do("app.config['BACKEND_TIMEOUT'] = 20")
        subject.configure("{'service_dependencies': {'a': a, 'b': b}}", a=small.address, b=large.address)
        before = subject.do("import resource; value = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss")
        assert subject.components() == {"a": {"status": "UP"}, "b": {"status": "DOWN"}}
        after = subject.do("import resource; value = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss")
        assert after < before + 150_000


def test_an_answer_without_end_is_left(subject: Subject) -> None:
    with Peer(endless) as peer:
        subject.do("app.config['BACKEND_TIMEOUT'] = 20")
        subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
        before = subject.do("import resource; value = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss")
        assert subject.components() == {"a": {"status": "DOWN"}}
        assert (
            subject.do("import resource; value = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss") < before + 50_000
        )
        assert "longer than 1048576 bytes" in subject.log


@pytest.mark.parametrize("peer", [closing], indirect=True)
def test_a_dependency_that_hangs_up_is_down(subject: Subject, peer: Peer) -> None:
    subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
    assert subject.components() == {"a": {"status": "DOWN"}}


@pytest.mark.parametrize("peer", [UP], indirect=True)
def test_each_request_to_a_dependency_has_a_connection_of_its_own_that_is_closed(subject: Subject, peer: Peer) -> None:
    before = subject.do("value = len(os.listdir('/proc/self/fd'))")
    subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
    for _ in range(3):
        assert subject.components() == {"a": {"status": "UP"}}
    assert (len(peer.requests), len(peer.connections)) == (3, 3)
    until(lambda: subject.do("value = len(os.listdir('/proc/self/fd'))") <= before)


def test_a_dependency_that_is_restarted_after_a_hang_is_up_again(subject: Subject) -> None:
    def once(connection: Any, peer: Peer) -> None:
        (hanging if len(peer.requests) == 1 else UP)(connection, peer)

    subject.do("app.config['BACKEND_TIMEOUT'] = 0.2")
    with Peer(once) as peer:
        subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
        assert subject.components() == {"a": {"status": "DOWN"}}
        # Its kernel resets the connection that hung.
        peer.connections[0].shutdown(2)
        until(lambda: subject.components() == {"a": {"status": "UP"}}, 8)


def test_a_certificate_must_be_one_that_the_environment_trusts(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "app.py").write_text(APP)
    with (
        Peer(UP, authority.issue_cert("localhost")) as peer,
        Peer(UP, authority.issue_cert("another.example.org")) as wrong,
        Server(tmp_path, "gunicorn", environment={"REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem")}) as trusting,
    ):
        addresses = {"a": f"https://localhost:{peer.port}/", "b": f"https://localhost:{wrong.port}/"}
        subject = Subject(trusting)
        subject.do("app.config['BACKEND_TIMEOUT'] = 20")
        subject.configure("{'service_dependencies': addresses}", addresses=addresses)
        for _ in range(2):
            assert subject.components() == {"a": {"status": "UP"}, "b": {"status": "DOWN"}}
        with Server(tmp_path, "gunicorn") as other:
            subject = Subject(other)
            subject.do("app.config['BACKEND_TIMEOUT'] = 20")
            subject.configure("{'service_dependencies': addresses}", addresses=addresses)
            assert subject.components() == {"a": {"status": "DOWN"}, "b": {"status": "DOWN"}}
            assert subject.get("/z/health/liveness").status == 200


def test_a_redirect_to_another_host_is_not_followed(subject: Subject) -> None:
    with Peer(UP) as other, Peer(answering(b"", "302 Found", f"Location: http://localhost:{other.port}/\r\n")) as peer:
        subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
        assert subject.components() == {"a": {"status": "DOWN"}}
        assert other.requests == []
        assert "redirects to another host" in subject.log


def test_a_redirect_to_another_port_is_followed_without_the_password(subject: Subject) -> None:
    with Peer(UP) as other, Peer(answering(b"", "302 Found", f"Location: http://{other.address}/x\r\n")) as peer:
        subject.configure("{'service_dependencies': {'a': address}}", address=f"http://me:secret@{peer.address}/")
        assert subject.components() == {"a": {"status": "UP"}}
        assert "authorization" in peer.requests[0]
        assert "authorization" not in other.requests[0]


def test_a_redirect_on_the_same_host_is_followed_but_not_without_end(subject: Subject) -> None:
    def turning(connection: Any, peer: Peer) -> None:
        where = "end" if peer.requests[-1].startswith("get /z/health ") else "/loop"
        if peer.requests[-1].startswith("get /z/end "):
            UP(connection, peer)
        else:
            answering(b"x", "302 Found", f"Location: {where}\r\n")(connection, peer)

    with Peer(turning) as peer:
        subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
        assert subject.components() == {"a": {"status": "UP"}}
        subject.configure("{'service_dependencies': {'a': address}}", address=f"http://{peer.address}/loop")
        assert subject.components() == {"a": {"status": "DOWN"}}
        assert len(peer.requests) <= 2 + 4


@pytest.mark.parametrize("peer", [UP], indirect=True)
def test_nothing_of_the_environment_comes_between(tmp_path: Path, peer: Peer) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    with Peer(closing) as proxy:
        environment = {"http_proxy": f"http://{proxy.address}", "all_proxy": f"http://{proxy.address}"}
        with Server(tmp_path, "gunicorn", environment={**environment, "HOME": str(tmp_path)}) as server:
            subject = Subject(server)
            subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
            assert subject.components() == {"a": {"status": "UP"}}
            assert proxy.requests == []
            assert "authorization" not in peer.requests[0]


@pytest.mark.parametrize("peer", [UP], indirect=True)
def test_a_user_in_the_url_is_told_to_the_service_and_to_nobody_else(subject: Subject, peer: Peer) -> None:
    address = f"http://me:t0p-s3cret-{peer.port}@{peer.address}/x"
    subject.configure("{'service_dependencies': {'a': address}}", address=address)
    assert subject.components() == {"a": {"status": "UP"}}
    assert peer.since_the_last("authorization").startswith("basic ")
    subject.configure(
        "{'service_dependencies': {'a': address, 'b': 'http://u:t0p-s3cret-x@:port/'}}",
        address=f"http://me:t0p-s3cret@127.0.0.1:{free_port()}/x",
    )
    assert subject.get("/z/health").status == 503
    assert "t0p-s3cret" not in subject.get("/z/health").text
    assert "t0p-s3cret" not in subject.log


@pytest.mark.parametrize(
    ("user", "said"), [("me:p%40ss%2F", b"me:p@ss/"), ("me:p%C3%A4", "me:pä".encode("latin-1")), ("me", b"me:")]
)
def test_a_user_is_told_as_he_is_called(subject: Subject, user: str, said: bytes) -> None:
    with Peer(UP) as peer:
        subject.configure("{'service_dependencies': {'a': address}}", address=f"http://{user}@{peer.address}/x")
        subject.components()
        (header,) = [line for line in peer.heads[0].splitlines() if line.startswith("Authorization: Basic ")]
        assert b64decode(header.split()[-1]) == said


@pytest.mark.parametrize(
    "address", ["http://me:hun/ter2@svc:port/", "ldap://h/db?password=hunter2", "me:hunter2@", "http://:hunter2@/x"]
)
def test_an_address_that_is_none_is_shown_to_nobody(subject: Subject, address: str) -> None:
    subject.configure("{'service_dependencies': {'a': address}}", address=address)
    answer = subject.get("/z/health")
    assert answer.status == 503
    assert "hun" not in answer.text
    assert "hun" not in subject.log.replace("hung", "")


def test_a_query_is_in_no_log(subject: Subject) -> None:
    subject.configure("{'service_dependencies': {'a': a}}", a=f"http://127.0.0.1:{free_port()}/x?token=hunter2")
    assert subject.get("/z/health").status == 503
    assert "hunter2" not in subject.log


def test_details_of_dependencies_can_be_hidden(subject: Subject) -> None:
    with Peer(answering({"status": "UP", "version": 7})) as peer:
        subject.configure("{'service_dependencies': {'a': address}, 'show_details': False}", address=peer.address)
        assert subject.components() == {"a": {"status": "UP"}}


# Services that name each other


def service(folder: Path, name: str) -> Server:
    (folder / name).mkdir()
    (folder / name / "app.py").write_text(APP)
    return Server(folder / name, "gunicorn")


def mesh(folder: Path, stack: ExitStack, size: int) -> list[Subject]:
    """Services with one worker each, of which each names all others."""
    found = [Subject(stack.enter_context(service(folder, f"{number}"))) for number in range(size)]
    for subject in found:
        others = {f"{other.server.port}": f"127.0.0.1:{other.server.port}" for other in found if other is not subject}
        subject.configure("{'service_dependencies': others}", others=others)
    return found


def requests_of(subjects: list[Subject]) -> int:
    return sum(subject.log.count('"GET /z/health HTTP') for subject in subjects)


@pytest.mark.parametrize("size", [2, 4])
def test_services_that_name_each_other_are_up_and_one_request_asks_each_once(tmp_path: Path, size: int) -> None:
    with ExitStack() as stack:
        subjects = mesh(tmp_path, stack, size)
        for times, subject in enumerate(subjects, 1):
            answer = subject.get("/z/health")
            assert answer.status == 200
            assert [part["status"] for part in answer.json()["components"].values()] == ["UP"] * (size - 1)
            until(lambda times=times: requests_of(subjects) == times * size)  # type: ignore[misc]


def test_a_request_goes_as_far_as_the_settings_say(tmp_path: Path) -> None:
    with ExitStack() as stack:
        last = [Subject(stack.enter_context(service(tmp_path, name))) for name in "abcd"]
        for depth, sees in ((0, 0), (1, 1), (2, 2), (3, 3)):
            for subject, following in zip(last, [*last[1:], None], strict=True):
                address = f"127.0.0.1:{following.server.port}" if following else ""
                subject.configure(
                    "{'service_dependencies': {'next': a} if a else {}, 'cascade_depth': depth,"
                    " 'check_functions': {'health': {'f': lambda: bool(a)}}}",
                    a=address,
                    depth=depth,
                )
            answer = last[0].get("/z/health")
            seen = 0
            component = answer.json()
            while "next" in component["components"]:
                component = component["components"]["next"]
                seen += 1
            assert seen == sees
            # Only the last one is down.
            assert answer.status == (503 if sees == 3 else 200)


@pytest.mark.parametrize("header", ["x", "", "-1", "10", "9", "0 0", "٣"])
def test_a_header_that_is_none_is_no_way_to_leave_out_the_dependencies(subject: Subject, header: str) -> None:
    with Peer(UP) as peer:
        subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
        headers = {dependencies.CASCADE: header.encode().decode("latin-1")}
        assert subject.get("/z/health", headers=headers).json()["components"] == {"a": {"status": "UP"}}
        assert peer.since_the_last(dependencies.CASCADE.lower()) == "0"
        assert subject.get("/z/health", headers={dependencies.CASCADE: "0"}).json()["components"] == {}
        assert len(peer.requests) == 1


def test_no_header_and_no_limit_is_a_way_to_more_threads(subject: Subject) -> None:
    with Peer(hanging) as peer:
        subject.configure("{'service_dependencies': {'a': address}}", address=peer.address)
        for number in range(40):
            subject.do(f"app.config['BACKEND_TIMEOUT'] = {0.01 + number / 10000}")
            headers = {dependencies.CASCADE: f"{number % 10}"}
            assert subject.get("/z/health", headers=headers).status == (503 if number % 10 else 200)
        assert threads_of(subject) == 1


# Functions that raise, and settings that are wrong


@pytest.mark.parametrize("raised", ["RuntimeError('secret')", "SystemExit(3)", "BaseException()", "OSError(5, 'x')"])
def test_a_function_that_raises_is_down_and_one_line_in_the_log(subject: Subject, raised: str) -> None:
    subject.do(f"def f(): raise {raised}")
    subject.configure("{'check_functions': {'health': {'f': f}, 'readiness': {'f': f}}}")
    before = subject.log.count("check 'readiness f' failed")
    for _ in range(3):
        health, readiness = subject.get("/z/health"), subject.get("/z/health/readiness")
        assert (health.status, readiness.status) == (503, 503)
        assert readiness.text == '{"status": "DOWN"}'
        assert "secret" not in health.text
    assert subject.log.count("check 'readiness f' failed") == before + 1
    assert subject.get("/z/health/liveness").status == 200


def test_a_result_is_used_again_for_as_long_as_the_settings_say(subject: Subject) -> None:
    subject.do("ran = []")
    subject.configure("{'check_functions': {'health': {'f': lambda: ran.append(1) or True}}, 'check_max_age': 600}")
    for _ in range(3):
        assert subject.get("/z/health").status == 200
    assert subject.do("value = ran") == [1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("7", "Z_ENDPOINTS: int: must be a dict"),
        ("'x'", "Z_ENDPOINTS: str: must be a dict"),
        ("{'service_dependencies': ['svc']}", "Z_ENDPOINTS: service_dependencies: list: must be a dict"),
        ("{'service_dependencies': {'a': 7}}", "Z_ENDPOINTS: service_dependencies['a']: int: must be a URL or a host"),
        ("{'service_dependencies': {'a': ''}}", "service_dependencies['a']: no address: neither a host nor a URL"),
        ("{'check_functions': []}", "Z_ENDPOINTS: check_functions: list: must be a dict"),
        ("{'check_functions': {'health': f}}", "Z_ENDPOINTS: check_functions['health']: function: must be a dict"),
        ("{'check_functions': {'health': {'x': 1}}}", "check_functions['health']['x']: int: must be a function"),
        ("{'version_function': '1.0'}", "Z_ENDPOINTS: version_function: str: must be a function"),
        ("{'dependency_prefix': 7}", "Z_ENDPOINTS: dependency_prefix: int: must be a path such as '/z'"),
        ("{'check_max_age': -1}", "Z_ENDPOINTS: check_max_age: int: must be seconds, from 0 to 1,000,000"),
        ("{'unit': 7}", "Z_ENDPOINTS: unit: 7: must be the name of a unit"),
        ("{'unit': '../x'}", "Z_ENDPOINTS: "),
    ],
)
def test_a_setting_that_is_wrong_is_said_in_health_and_never_breaks_liveness(
    subject: Subject, settings: str, said: str
) -> None:
    subject.do("def f(): return True")
    subject.configure(settings)
    answer = subject.get("/z/health")
    assert (answer.status, answer.json()["status"]) == (503, "DOWN")
    assert any(said in text for text in answer.json()["errors"])
    assert said in subject.log
    assert subject.get("/z/health/liveness").status == 200
    assert subject.get("/z/health/readiness").status in (200, 503)
    assert subject.get("/z/info").status == 200


@pytest.mark.parametrize(
    "value", ["'2'", "0", "-1", "True", "float('nan')", "10 ** 400", "(None, None)", "(1, 'x')", "[1]"]
)
def test_a_limit_that_is_none_is_said_in_health_and_readiness_goes_on(subject: Subject, value: str) -> None:
    subject.do(f"app.config['BACKEND_TIMEOUT'] = {value}")
    subject.configure("{'check_functions': {'readiness': {'f': lambda: True}}}")
    answer = subject.get("/z/health")
    assert answer.status == 503
    assert answer.json()["errors"][0].startswith("BACKEND_TIMEOUT: ")
    assert subject.get("/z/health/readiness").status == 200


def test_readiness_is_down_if_what_is_wrong_is_a_matter_of_its_own(subject: Subject) -> None:
    for settings in ("7", "{'check_functions': {'readiness': 7}}", "{'unit': 7}"):
        subject.configure(settings)
        assert subject.get("/z/health/readiness").status == 503
    for settings in ("{'check_functions': {'health': 7}}", "{'service_dependencies': 7}", "{'version_function': 7}"):
        subject.configure(settings)
        assert subject.get("/z/health/readiness").status == 200


def test_a_version_function_that_is_none_is_an_error_that_says_so(subject: Subject) -> None:
    subject.configure("{'version_function': '1.0'}")
    answer = subject.get("/z/version")
    assert (answer.status, answer.text) == (500, "Z_ENDPOINTS: version_function: str: must be a function")


def test_a_mistyped_setting_is_logged_once(subject: Subject) -> None:
    subject.configure("{'service_dependancies': {'a': 'svc'}}")
    for _ in range(3):
        assert subject.get("/z/health").status == 200
    assert subject.log.count("Z_ENDPOINTS: service_dependancies: no such setting") == 1


def test_a_group_that_is_named_twice_is_asked_once(subject: Subject) -> None:
    subject.do("blueprint.checks_with_pluggable_functions.append('health'); ran = []")
    subject.configure("{'check_functions': {'health': {'f': lambda: ran.append(1) or True}}}")
    assert subject.get("/z/health").status == 200
    assert subject.do("value = ran") == [1]


def test_groups_and_functions_of_like_names_are_taken_for_no_other(subject: Subject) -> None:
    subject.do("blueprint.checks_with_pluggable_functions.append('health a'); ran = []")
    subject.configure(
        "{'check_functions': {'health': {'a b': lambda: ran.append(1) or True},"
        " 'health a': {'b': lambda: ran.append(2) or False}}}"
    )
    assert subject.components() == {"a b": {"status": "UP"}, "b": {"status": "DOWN"}}
    assert sorted(subject.do("value = ran")) == [1, 2]


def test_two_functions_of_one_name_are_an_error(subject: Subject) -> None:
    subject.configure("{'check_functions': {'health': {1: lambda: False, '1': lambda: True}}}")
    answer = subject.get("/z/health")
    assert (answer.status, answer.json()["errors"]) == (
        503,
        ["Z_ENDPOINTS: check_functions['health']['1']: a second one of this name"],
    )


def test_a_method_that_is_looked_up_anew_with_each_request_is_the_same(subject: Subject) -> None:
    subject.do(
        """
class Checks:
    def __init__(self): self.gate = threading.Event()
    def hang(self): return self.gate.wait(600)
checks = Checks()
again = lambda: app.config.update(Z_ENDPOINTS={"check_functions": {"health": {"f": checks.hang}}})
app.before_request_funcs[None] = [again]
app.config["BACKEND_TIMEOUT"] = 0.01
"""
    )
    for _ in range(5):
        assert subject.get("/z/health").status == 503
    assert threads_of(subject) == 1
    subject.do("checks.gate.set()")


def test_a_worker_that_was_forked_from_a_busy_process_answers(tmp_path: Path) -> None:
    """As gunicorn --preload does, of an application that has been asked before, and is being asked."""
    with Peer(UP) as peer, Peer(hanging) as hung:
        busy = f"""
app.config["Z_ENDPOINTS"] = {{"service_dependencies": {{"a": {peer.address!r}, "b": {hung.address!r}}}}}
app.test_client().get("/z/health")
"""
        (tmp_path / "app.py").write_text(APP.partition("if __name__")[0] + busy)
        command = ["-m", "gunicorn", "--preload", "--workers", "2", "--bind", "127.0.0.1:{port}", "app:app"]
        with Server(tmp_path, command=command, started="/z/health/liveness") as server:
            for _ in range(6):
                assert server.get("/z/health").json()["components"] == {"a": {"status": "UP"}, "b": {"status": "DOWN"}}
            # One of the master's, and one of each request.
            assert len(peer.connections) == 7


def test_odd_names_are_names(subject: Subject) -> None:
    subject.configure("{'check_functions': {'health': {'': f, 7: f, 'a\\nb': f, '\\ud800': f}}}", f=1)
    assert subject.get("/z/health").status == 503
    subject.do("def f(): return True")
    subject.do("app.config['Z_ENDPOINTS'] = {'check_functions': {'health': {'': f, 7: f, 'a\\nb': f, '\\ud800': f}}}")
    assert set(subject.components()) == {"", "7", "a\nb", "\ud800"}
