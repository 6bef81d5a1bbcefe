"""The pods of these tests: each a manifest, and in it a small program that does one thing when told to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

# What every program begins with. A cue is a file on the state volume, which a test makes.
PRELUDE = """\
import os, subprocess, sys, time
import liveness

def probe(*arguments):
    done = subprocess.run(["health.sh", "-v", *arguments], capture_output=True, text=True)
    print(done.returncode, done.stdout + done.stderr, end="", flush=True)

def cue(name):
    try:
        os.unlink("/state/" + name)
    except FileNotFoundError:
        return False
    return True

def wait_for(name):
    while not cue(name):
        time.sleep(0.05)
"""


class Pod(NamedTuple):
    name: str
    manifest: dict[str, Any]


PODS: list[Pod] = []


def python(program: str) -> list[str]:
    return ["python3", "-c", PRELUDE + program]


def exec_probe(*command: str, **numbers: int) -> dict[str, Any]:
    return {"exec": {"command": list(command)}, "periodSeconds": 1, "timeoutSeconds": 1, **numbers}


def http_probe(path: str, port: int, **numbers: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": port}, "periodSeconds": 1, "timeoutSeconds": 1, **numbers}


def container(command: list[str], name: str = "app", image: str = "dash", **more: Any) -> dict[str, Any]:
    """Probed every second, and restarted after two failures."""
    unit = {"name": "LIVENESS_UNIT_NAME", "value": name}
    return {
        "name": name,
        "image": f"localhost/{image}:1",
        "imagePullPolicy": "Never",
        "command": command,
        "env": [{"name": "LIVENESS_RUNDIR", "value": "/state"}, *([unit] if name != "app" else [])],
        "volumeMounts": [{"name": "state", "mountPath": "/state"}],
        "startupProbe": exec_probe("health.sh", failureThreshold=60),
        "livenessProbe": exec_probe("health.sh", failureThreshold=2),
        "readinessProbe": exec_probe("health.sh", "ready", failureThreshold=1),
        **more,
    }


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> Pod:
    """Declares a pod, which the node starts before the first test."""
    manifest: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": list(containers),
            "volumes": [{"name": "state", "emptyDir": {"medium": "Memory"}}],
            **spec,
        },
    }
    _reach_by_http(manifest["spec"])
    declared = Pod(name, manifest)
    PODS.append(declared)
    return declared


def _reach_by_http(spec: dict[str, Any]) -> None:
    """Pods of this node have no network. For HTTP probes they get that of the node, which has one address."""
    for container in spec["containers"]:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = (container.get(probe) or {}).get("httpGet")
            if asked is not None:
                spec["hostNetwork"] = True
                asked["host"] = "127.0.0.1"


STEADY = """
with liveness.running([], ttl=3) as unit:
    while True:
        unit.beat(3)
        time.sleep(0.2)
"""

steady = pod("steady", container(python(STEADY)))
steady_tini = pod("steady-tini", container(["tini", "--", *python(STEADY)], image="busybox"))

LOSES = """
print("pid", os.getpid(), flush=True)
probe()
liveness.load([])
probe()
wait_for("go")
liveness.set()
probe()
wait_for("lose")
liveness.set(7, "queue lost")
time.sleep(1000)
"""
loses = pod("loses", container(python(LOSES)))
loses_tini = pod("loses-tini", container(["tini", "--", *python(LOSES)]))

hangs = pod("hangs", container(python("""
def work_on_a_job():
    while cue("hang"):
        time.sleep(1000)

liveness.load([])
liveness.beat(2, traceback=True)
liveness.set()
while True:
    liveness.beat(2, traceback=True)
    work_on_a_job()
    time.sleep(0.1)
""")))  # fmt: skip

# A supervisor that does not look: it buries its worker and runs on.
dies = pod("dies", container(["tini", "--", *python("""
if os.fork():
    os.wait()
    time.sleep(1000)
with liveness.running([]):
    wait_for("die")
    os._exit(1)
""")]))  # fmt: skip

drains = pod("drains", container(python("""
liveness.load([])
liveness.set()
while True:
    if cue("drain"):
        liveness.set_ready(False, "draining")
    if cue("back"):
        liveness.set_ready()
    time.sleep(0.1)
""")))  # fmt: skip

ends = pod("ends", container(python("""
import signal

def stop(number, frame):
    print("served while draining:", served, flush=True)
    sys.exit(0)

signal.signal(signal.SIGTERM, stop)
served = 0
liveness.load([])
liveness.set()
liveness.drain(signal.SIGTERM, 4)
while True:
    if cue("end"):
        os.kill(os.getpid(), signal.SIGTERM)
    if cue("lose"):
        liveness.set(7, "lost")
    served += os.path.exists("/state/ends-node/ready")
    time.sleep(0.1)
""")), terminationGracePeriodSeconds=20)  # fmt: skip

# Without the startup probe, the first failure in those eight seconds would end it.
slow = pod("slow", container(
    ["sh", "-c", 'printf "import time\\ndef health(): time.sleep(8)\\n" >/tmp/slow_checks.py; exec "$@"', "sh",
     *python("""
sys.path.insert(0, "/tmp")
liveness.load(["slow_checks"])
liveness.set()
time.sleep(1000)
""")], livenessProbe=exec_probe("health.sh", failureThreshold=1)))  # fmt: skip

refuses = pod("refuses", container(
    ["sh", "-c", 'echo "def health(): return False" >/tmp/broken_checks.py; exec "$@"', "sh", *python("""
sys.path.insert(0, "/tmp")
liveness.load(["broken_checks"])
liveness.set()
time.sleep(1000)
""")]))  # fmt: skip

non_root = pod("non-root", container(
    python("print(os.getuid(), open('/proc/self/status').read().split('CapEff:')[1].split()[0], flush=True)" + STEADY),
    securityContext={
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    },
))  # fmt: skip

BOTH = ("health.sh", "-u", "fetcher", "-u", "sender")
two = pod("two", container(["tini", "-g", "--", *python("""
def serve(name):
    with liveness.running([], unitname=name):
        wait_for("end-" + name)
        os._exit(1)

for name in ("fetcher", "sender"):
    if not os.fork():
        serve(name)
time.sleep(1000)
""")],
    startupProbe=exec_probe(*BOTH, failureThreshold=60),
    livenessProbe=exec_probe(*BOTH, failureThreshold=2),
    readinessProbe=exec_probe(*BOTH, "ready"),
))  # fmt: skip

# The processes of both are in one /proc, and their state is on one volume.
shared = pod("shared", container(python(STEADY), "one"), container(python("""
with liveness.running([]):
    wait_for("lose")
    liveness.set(3, "two is lost")
    time.sleep(1000)
"""), "two"), shareProcessNamespace=True)  # fmt: skip

unprobed = pod("unprobed", container(
    python("liveness.load([]); liveness.set(1, 'dead from the beginning'); time.sleep(1000)"),
    startupProbe=None, readinessProbe=None,
    livenessProbe=exec_probe("/usr/local/bin/heatlh.sh", failureThreshold=1),
))  # fmt: skip


# Probed by HTTP: a thread answers while the loop hangs. In a crowd, 200 new clients a second send nothing.
served = pod("served", container(
    python("""
import liveness.server, socket
with liveness.running(ttl=2), liveness.server.serve(8090, ""):
    size = 0
    while True:
        liveness.beat(2)
        if cue("crowd"):
            size = 20
        crowd = [socket.create_connection(("127.0.0.1", 8090)) for _ in range(size)]
        if cue("hang"):
            time.sleep(1000)
        time.sleep(0.1)
"""),
    startupProbe=http_probe("/startupz", 8090, failureThreshold=60),
    livenessProbe=http_probe("/livez", 8090, failureThreshold=2),
    readinessProbe=http_probe("/readyz", 8090, failureThreshold=1),
))  # fmt: skip


_IMAGES = {
    "registry.example.org/worker:1": "localhost/dash:1",
    "registry.example.org/worker:1-alpine": "localhost/busybox:1",
    "registry.example.org/worker:1-distroless": "localhost/shell-less:1",
}


def of_manifest(file: Path) -> Pod:
    """The pod of a deployment in examples/kubernetes, as it stands there but for the image's name."""
    template = yaml.safe_load(file.read_text())["spec"]["template"]
    for container in template["spec"]["containers"]:
        container["image"] = _IMAGES[container["image"]]
    _reach_by_http(template["spec"])
    metadata = {**template["metadata"], "name": f"example-{file.stem}", "namespace": "default"}
    declared = Pod(
        metadata["name"], {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    )
    PODS.append(declared)
    return declared


examples = [of_manifest(file) for file in sorted(Path(__file__).parents[2].glob("examples/kubernetes/*.yaml"))]
