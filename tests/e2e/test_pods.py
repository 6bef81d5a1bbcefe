"""What a real kubelet does with our probes: it restarts what must be restarted, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pods
import pytest
from node import Event, Node
from stage import until


def give_cue(node: Node, pod: pods.Pod, name: str) -> None:
    (node.volume(pod.name) / name).touch()


def ready(node: Node, pod: pods.Pod, seconds: float = 60) -> None:
    until(lambda: node.is_ready(pod.name), seconds)


def restarted(node: Node, pod: pods.Pod, times: int = 1) -> None:
    until(lambda: node.restarts(pod.name) >= times, 60)


def test_a_code_that_is_set_restarts_the_container_and_its_reason_is_in_the_event(node: Node) -> None:
    for pod in (pods.loses, pods.loses_tini):
        give_cue(node, pod, "go")
    for pod in (pods.loses, pods.loses_tini):
        ready(node, pod)
        give_cue(node, pod, "lose")
    for pod in (pods.loses, pods.loses_tini):
        restarted(node, pod)
        line = f"Liveness probe failed: liveness: {pod.name}-node: error 7: queue lost\n"
        assert Event("Unhealthy", line) in node.events(pod.name)


def test_a_new_life_on_the_same_volume_with_the_same_pid_begins_unhealthy_and_becomes_healthy(node: Node) -> None:
    for pod in (pods.loses, pods.loses_tini):
        restarted(node, pod)
        unit = f"liveness: {pod.name}-node:"
        state = node.volume(pod.name) / f"{pod.name}-node"
        until(lambda pod=pod: "not set" in node.logs(pod.name, life=1))  # type: ignore[misc]
        assert not node.is_ready(pod.name)
        give_cue(node, pod, "go")
        ready(node, pod)
        pid = (state / "pid").read_text()
        old = node.logs(pod.name, life=0).splitlines()[0].removeprefix("pid ")
        # What the last life had left is no word of this one.
        until(lambda pod=pod: "healthy" in node.logs(pod.name, life=1))  # type: ignore[misc]
        said = node.logs(pod.name, life=1).splitlines()
        if pod is pods.loses:
            assert (old, pid) == ("1", "1")
        # Under tini the numbers are small and seldom the same: then it may be nobody's by now, or the probe's.
        assert said.pop(1) in (
            f"1 {unit} pid {old} belongs to another process",
            *([f"1 {unit} process {old} is gone"] if old != pid else []),
        )
        assert said == [
            f"pid {pid}",
            f"1 {unit} not set (no error code in /state/{pod.name}-node)",
            f"0 {unit} healthy: process {pid}, error 0, fresh heartbeats: 0",
        ]
        assert node.restarts(pod.name) == 1


def test_a_hung_loop_is_restarted_and_its_stacks_are_in_the_log(node: Node) -> None:
    ready(node, pods.hangs)
    give_cue(node, pods.hangs, "hang")
    restarted(node, pods.hangs)
    messages = [event.message for event in node.events("hangs") if event.reason == "Unhealthy"]
    assert any("liveness: hangs-node: no heartbeat 'main' for 3 s (limit 2 s)" in message for message in messages)
    log = node.logs("hangs", life=0)
    assert "Timeout (0:00:03)!" in log
    assert "in work_on_a_job" in log
    ready(node, pods.hangs)


def test_a_loop_that_hangs_is_restarted_by_http_probes_too_and_a_crowd_of_slow_clients_restarts_nothing(
    node: Node,
) -> None:
    ready(node, pods.served)
    give_cue(node, pods.served, "crowd")
    until(lambda: not (node.volume("served") / "crowd").exists())
    end = time.monotonic() + 10
    while time.monotonic() < end:
        assert node.is_ready("served")
        assert node.restarts("served") == 0
        time.sleep(0.2)
    give_cue(node, pods.served, "hang")
    restarted(node, pods.served)
    message = "Liveness probe failed: HTTP probe failed with statuscode: 503"
    assert Event("Unhealthy", message) in node.events("served")
    ready(node, pods.served)


def test_a_worker_that_died_while_its_container_runs_on_is_restarted(node: Node) -> None:
    ready(node, pods.dies)
    pid = (node.volume("dies") / "dies-node" / "pid").read_text()
    give_cue(node, pods.dies, "die")
    restarted(node, pods.dies)
    event = Event("Unhealthy", f"Liveness probe failed: liveness: dies-node: process {pid} is gone\n")
    assert event in node.events("dies")
    ready(node, pods.dies)


def seen_draining(node: Node, name: str) -> None:
    """Waits until the pod is out of service, for the reason that it drains."""
    until(lambda: not node.is_ready(name), 60)
    event = Event("Unhealthy", f"Readiness probe failed: liveness: {name}-node: not ready: draining\n")
    until(lambda: event in node.events(name))


def test_who_is_not_ready_is_out_of_service_and_not_down(node: Node) -> None:
    ready(node, pods.drains)
    give_cue(node, pods.drains, "drain")
    seen_draining(node, "drains")
    give_cue(node, pods.drains, "back")
    ready(node, pods.drains)
    assert node.restarts("drains") == 0


def test_who_drains_is_out_of_service_works_on_and_then_stops_in_its_own_way(node: Node) -> None:
    ready(node, pods.ends)
    give_cue(node, pods.ends, "end")
    # It was seen, and not only the end of the container.
    seen_draining(node, "ends")
    restarted(node, pods.ends)
    assert node.containers("ends")["app"]["lastState"]["terminated"]["exitCode"] == 0
    assert served_while_draining(node, life=0) > 20
    # The same when the signal is that of the kubelet.
    ready(node, pods.ends)
    give_cue(node, pods.ends, "lose")
    restarted(node, pods.ends, 2)
    assert node.containers("ends")["app"]["lastState"]["terminated"]["exitCode"] == 0
    assert served_while_draining(node, life=1) > 20
    ready(node, pods.ends)


def served_while_draining(node: Node, life: int) -> int:
    return int(node.logs("ends", life=life).rpartition("served while draining: ")[2])


def test_a_startup_probe_holds_liveness_back_through_a_long_load(node: Node) -> None:
    ready(node, pods.slow)
    events = node.events("slow")
    assert any(event.message.startswith("Startup probe failed: liveness: slow-node: not loaded") for event in events)
    assert not any(event.message.startswith("Liveness") for event in events)
    assert node.restarts("slow") == 0


def test_a_failing_check_at_load_is_a_crash_loop_that_is_never_ready(node: Node) -> None:
    def waits() -> str:
        state = node.containers("refuses")["app"]["state"]
        return str(state.get("waiting", {}).get("reason"))

    until(lambda: waits() == "CrashLoopBackOff", 60)
    assert "broken_checks" in node.logs("refuses")
    assert "CheckFailed" in node.logs("refuses")
    assert not node.is_ready("refuses")


def test_without_root_rights_and_room_but_a_volume_it_is_ready(node: Node) -> None:
    ready(node, pods.non_root)
    assert node.logs("non-root") == "10001 0000000000000000"


def test_each_of_two_units_in_one_container_must_be_healthy(node: Node) -> None:
    ready(node, pods.two)
    give_cue(node, pods.two, "end-sender")
    restarted(node, pods.two)
    messages = [event.message for event in node.events("two") if event.reason == "Unhealthy"]
    assert any(message.startswith("Liveness probe failed: liveness: sender: process ") for message in messages)
    assert not any("fetcher: process" in message for message in messages)
    ready(node, pods.two)


def test_two_containers_share_a_process_namespace_and_a_volume_and_no_fate(node: Node) -> None:
    ready(node, pods.shared)
    give_cue(node, pods.shared, "lose")
    restarted(node, pods.shared)
    ready(node, pods.shared)
    found = node.containers("shared")
    assert (found["one"]["restartCount"], found["two"]["restartCount"]) == (0, 1)
    state = node.volume("shared")
    assert (state / "one" / "pid").read_text() != (state / "two" / "pid").read_text()
    assert Event("Unhealthy", "Liveness probe failed: liveness: two: error 3: two is lost\n") in node.events("shared")


@pytest.mark.parametrize("pod", pods.examples, ids=lambda pod: pod.name)
def test_every_manifest_becomes_ready(node: Node, pod: pods.Pod) -> None:
    ready(node, pod)
    assert node.restarts(pod.name) == 0


def test_with_all_cores_busy_no_healthy_pod_is_restarted_in_a_minute(node: Node) -> None:
    healthy = [pod for pod in pods.PODS if pod not in (pods.refuses, pods.unprobed)]
    for pod in healthy:
        ready(node, pod)
    before = {pod.name: node.restarts(pod.name) for pod in healthy}
    end = time.monotonic() + 60
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        while time.monotonic() < end:
            assert {pod.name: node.restarts(pod.name) for pod in healthy} == before
            time.sleep(1)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    for pod in healthy:
        ready(node, pod)


def test_a_probe_that_is_not_there_is_no_failure_and_nothing_is_ever_restarted(node: Node) -> None:
    # By now it has been asked for, every second, for more than a minute.
    container = node.containers("unprobed")["app"]
    assert container["state"]["running"]
    assert container["restartCount"] == 0
    said = subprocess.run(
        ["grep", "-c", "heatlh.sh.*no such file or directory", node.folder / "kubelet.log"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(said.stdout) >= 10
    (state,) = node.volume("unprobed").glob("*/error")
    assert state.read_text() == "1\ndead from the beginning\n"


def test_a_healthy_worker_was_never_restarted_in_all_that_time(node: Node) -> None:
    for pod in (pods.steady, pods.steady_tini):
        assert node.is_ready(pod.name)
        assert node.restarts(pod.name) == 0
        assert not any(event.message.startswith("Liveness") for event in node.events(pod.name))
