"""One node for all tests, with every pod on it from the beginning: they live side by side, and the tests look on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from node import Node
from pods import PODS, Pod
from stage import until


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", end=" ", flush=True)

    say("e2e: images, containerd, kubelet")
    node = Node()
    try:
        # A few at a time: to start a pod is most of what this costs.
        for first in range(0, len(PODS), 4):
            some = PODS[first : first + 4]
            say(f"e2e: pods {', '.join(pod.name for pod in some)}")
            for pod in some:
                node.apply(pod.manifest)
            until(lambda some=some: all(has_started(node, pod) for pod in some), 60)  # type: ignore[misc]
        yield node
    finally:
        node.stop()


def has_started(node: Node, pod: Pod) -> bool:
    found = node.containers(pod.name)
    return len(found) == len(pod.manifest["spec"]["containers"]) and all(
        "waiting" not in container["state"] or container["restartCount"] for container in found.values()
    )
