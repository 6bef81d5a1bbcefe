"""What all HTTP endpoints have in common: status codes, the unit that an application has joined, and the answers."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from stage import until

from liveness import BadArgument, Unit, endpoint
from liveness.bodies import Findings
from liveness.checks import Check, Report, Result
from liveness.endpoint import Request
from liveness.monitor import Monitor


def test_for_a_kubelet_one_status_means_success_and_the_other_means_failure() -> None:
    assert 200 <= endpoint.status(True) < 400
    assert endpoint.status(False) >= 400


@pytest.mark.parametrize("unit", [None, False])
def test_without_a_unit_there_is_no_verdict(unit: Any) -> None:
    joined = endpoint.Joined(unit)
    assert not joined
    assert joined.live() is None
    assert joined.ready() is None


def test_the_verdict_is_the_verdict_of_the_probe(rundir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVENESS_RUNDIR", str(rundir))
    unit = Unit("u")
    named = endpoint.Joined("u"), endpoint.Joined(unit)
    monkeypatch.setenv("LIVENESS_UNIT_NAME", "u")
    for joined in (*named, endpoint.Joined(True)):
        assert str(joined.live()) == f"liveness: u: not loaded (no pid in {rundir}/u)"
    unit.load([])
    unit.set()
    unit.set_ready(False, "draining")
    for joined in (*named, endpoint.Joined(True)):
        live, ready = joined.live(), joined.ready()
        assert live is not None
        assert live.healthy
        assert ready is not None
        assert (ready.healthy, ready.reason) == (False, "not ready: draining")
    unit.reset()


def test_a_failed_check_of_a_monitor_makes_the_unit_not_ready_and_leaves_it_alive(rundir: Path) -> None:
    unit = Unit("u", rundir)
    unit.load()
    unit.set()
    joined = endpoint.Joined(unit)
    with Monitor([Check("db", lambda: False)], 0.02, unit=unit):
        until(lambda: "failed" in str(joined.ready()))
        assert str(joined.ready()) == "liveness: u: not ready: db failed (monitor)"
        assert joined.live()
    assert joined.ready()
    unit.reset()


@pytest.mark.parametrize("unit", [7, "", "../x", "-x", ["u"], b"u"])
def test_an_invalid_unit_is_refused(unit: Any) -> None:
    with pytest.raises(BadArgument):
        endpoint.Joined(unit)


@pytest.mark.parametrize(("name", "value"), [("LIVENESS_UNIT_NAME", "../x"), ("LIVENESS_RUNDIR", "run")])
def test_an_invalid_name_in_the_environment_is_the_reason_of_the_verdict(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = endpoint.Joined(True)
    monkeypatch.setenv(name, value)
    verdict = joined.live()
    assert verdict is not None
    assert not verdict
    assert value in verdict.reason


# What http_table cannot ask of a real server.


def probe_request(query: str = "", path: str = "/readyz", client: str = "192.0.2.1", **headers: str) -> Request:
    return Request("GET", path, query, {name.replace("_", "-"): value for name, value in headers.items()}, client)


def fail() -> None:
    raise OSError("secret")


@pytest.fixture
def failing() -> endpoint.Probes:
    return endpoint.Probes(False, [Check("db", fail)])


def is_detailed(probes: endpoint.Probes, **options: str) -> bool:
    return b"secret" in probes.answer(probe_request("verbose", **options)).body


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_only_a_client_on_this_host_sees_reasons_and_not_through_a_proxy(client: str, failing: endpoint.Probes) -> None:
    assert is_detailed(failing, client=client)
    for header in ("forwarded", "via", "x_forwarded_for", "x_real_ip"):
        assert not is_detailed(failing, client=client, **{header: "127.0.0.1"})


@pytest.mark.parametrize("client", ["", "192.0.2.1", "10.0.0.1", "127.0.0.6", "localhost", "2001:db8::1"])
def test_any_other_client_sees_no_reasons(client: str, failing: endpoint.Probes) -> None:
    assert not is_detailed(failing, client=client)


def test_with_a_token_only_a_client_that_has_it_sees_reasons(
    failing: endpoint.Probes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVENESS_TOKEN", "s3cret-ü")
    assert is_detailed(failing, authorization="Bearer s3cret-ü", via="proxy")
    for wrong in ("Bearer s3cret", "s3cret-ü", "Basic s3cret-ü", "Bearer ", ""):
        assert not is_detailed(failing, authorization=wrong, client="127.0.0.1")
    assert not is_detailed(failing, client="127.0.0.1")
    monkeypatch.setenv("LIVENESS_TOKEN", "")
    assert not is_detailed(failing, authorization="Bearer ")


def test_without_a_unit_a_process_that_answers_is_alive(failing: endpoint.Probes) -> None:
    assert failing.answer(probe_request(path="/livez")).body == b"ok"
    assert failing.answer(probe_request()).body == b"liveness: not ready: db failed"


def test_the_default_unit_is_judged_by_default(rundir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVENESS_RUNDIR", str(rundir))
    monkeypatch.setenv("LIVENESS_UNIT_NAME", "u")
    found = endpoint.Probes().answer(probe_request(path="/livez"))
    assert (found.status_line, found.body) == (
        "503 Service Unavailable",
        f"liveness: u: not loaded (no pid in {rundir}/u)".encode(),
    )


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        ("application/health+json", True),
        ("text/plain, Application/Health+JSON;q=0.9, */*", True),
        ("application/health+json;q=0", False),
        ("application/json", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_json_is_sent_to_clients_that_accept_it_by_name(accept: str, is_json: bool, failing: endpoint.Probes) -> None:
    found = dict(failing.answer(probe_request(accept=accept)).headers)
    assert (found["Content-Type"] == "application/health+json") is is_json


@pytest.mark.parametrize("accept", ["*/*", "application/health+json"])
@pytest.mark.parametrize("query", ["", "verbose", "verbose&" + "&".join(f"exclude={'x' * 500}{n}" for n in range(90))])
def test_no_body_is_longer_than_a_kubelet_reads(accept: str, query: str) -> None:
    checks = [Check(f"check-{number}-{'x' * 90}", fail) for number in range(300)]
    report = Report([Result(check.name, "failed", 0.0, "y" * 900, True, 0.0) for check in checks])
    found = endpoint.Probes(False, checks).answer(probe_request(query, accept=accept, client="127.0.0.1"), report)
    assert len(found.body) <= 10 * 1024
    assert found.status == 503
    if "json" in accept:
        assert json.loads(found.body)["status"] == "fail"
    elif query:
        assert found.body.endswith(b" more\nreadyz check failed\n") or b"warn: " in found.body


def test_a_list_that_is_too_long_begins_with_what_failed() -> None:
    results = [Result(f"{number}-{'x' * 90}", "passed", 0.0, "", True, 0.0) for number in range(300)]
    results.append(Result("last", "failed", 0.0, "", True, 0.0))
    text = Findings(None, Report(results)).listing("readyz")
    assert text.startswith("[-]last failed: reason withheld\n[+]0-x")
    shown = text.count("[+]")
    assert f"\n{300 - shown} more\nreadyz check failed\n" in text


def test_what_a_line_shows_is_printable() -> None:
    result = Result("datenbank-ü", "failed", 0.0, "two\nlines\x1b[0m", True, 0.0)
    text = Findings(None, Report([result]), ["\x07"], detailed=True).listing("readyz")
    assert text.isascii()
    assert [line for line in text.split("\n") if not line.isprintable()] == []
    assert "two?lines" in text


def test_a_query_with_too_many_fields_excludes_nothing(failing: endpoint.Probes) -> None:
    assert failing.answer(probe_request("exclude=db&" * 101)).status == 503
    assert failing.answer(probe_request("exclude=db&" * 2)).status == 200


def test_a_check_that_hangs_is_waited_for_no_longer_than_a_kubelet_waits() -> None:
    ended = threading.Event()
    probes = endpoint.Probes(False, [Check("db", lambda: ended.wait(20), timeout=10)])
    begin = time.monotonic()
    assert probes.answer(probe_request()).body == b"liveness: not ready: db timed out"
    assert time.monotonic() - begin < 1
    ended.set()


def test_a_request_that_is_refused_and_one_for_liveness_run_no_check(failing: endpoint.Probes) -> None:
    assert failing.needs_checks(probe_request())
    assert not failing.needs_checks(probe_request()._replace(method="POST"))
    assert not failing.needs_checks(probe_request(path="/livez"))
    assert not endpoint.Probes(False).needs_checks(probe_request())


@pytest.mark.parametrize("checks", [[7], "db", [Check("x", fail), Check("x", fail)], [Check("unit", fail)]])
def test_invalid_checks_are_refused(checks: Any) -> None:
    with pytest.raises(BadArgument):
        endpoint.Probes(False, checks)
