"""
A node: a real containerd and a real kubelet, in the namespaces that run.sh has made, without a cluster.

Pods are static ones: a manifest in a folder, whose status the kubelet tells on its read-only port, and whose events are
in its log.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from image import Layer, python_root, shell_root, write_image

NAME = "node"

_CONTAINERD = """\
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  # Without CAP_SYS_RESOURCE nobody may lower an OOM score.
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "{folder}/cni"
    bin_dir = "{folder}/cni-bin"
"""

_KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "fileCheckFrequency": "1s",
    "syncFrequency": "1s",
    "address": "127.0.0.1",
    "readOnlyPort": 10255,
    "healthzBindAddress": "127.0.0.1",
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    "cgroupDriver": "cgroupfs",
    "enforceNodeAllocatable": [],
    "failSwapOn": False,
    "oomScoreAdj": 0,
    "hairpinMode": "none",
    "resolvConf": "",
    "makeIPTablesUtilChains": False,
    "evictionHard": {},
    "imageGCHighThresholdPercent": 100,
    "imageGCLowThresholdPercent": 99,
}

# Exec probes need no network: each sandbox is told that it has an address, and has none.
_NO_NETWORK = """\
#!/bin/sh
case $CNI_COMMAND in
  VERSION) echo '{"cniVersion": "0.4.0", "supportedVersions": ["0.3.1", "0.4.0"]}' ;;
  ADD) echo '{"cniVersion": "0.4.0", "interfaces": [{"name": "'"$CNI_IFNAME"'", "sandbox": "'"$CNI_NETNS"'"}],
    "ips": [{"version": "4", "interface": 0, "address": "10.0.0.2/24"}]}' ;;
esac
"""


class Event(NamedTuple):
    """What `kubectl describe pod` shows in one line."""

    reason: str
    message: str


class Node:
    """Starts at once. Raises RuntimeError with the end of a log if a part of it does not come up."""

    def __init__(self) -> None:
        self.folder = Path(os.environ["LIVENESS_NODE"])
        self.kubelet = Path(os.environ["LIVENESS_KUBELET"])
        self.cgroup = os.environ["LIVENESS_CGROUP"]
        self.socket = self.folder / "containerd.sock"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._prepare()
        self._start_containerd()
        self._import_images()
        self._start_kubelet()

    # Pods

    def apply(self, pod: dict[str, Any]) -> None:
        """Hands a manifest to the kubelet, whole."""
        name = pod["metadata"]["name"]
        hidden = self.folder / "manifests" / f".{name}"
        hidden.write_text(json.dumps(pod))
        hidden.rename(self.folder / "manifests" / f"{name}.json")

    def pods(self) -> dict[str, dict[str, Any]]:
        with urllib.request.urlopen("http://127.0.0.1:10255/pods", timeout=10) as answer:
            items = json.load(answer)["items"] or []
        return {pod["metadata"]["name"].removesuffix(f"-{NAME}"): pod for pod in items}

    def containers(self, name: str) -> dict[str, dict[str, Any]]:
        """The status of each container of a pod."""
        pod = self.pods().get(name, {})
        return {found["name"]: found for found in pod.get("status", {}).get("containerStatuses", [])}

    def restarts(self, name: str) -> int:
        return sum(found["restartCount"] for found in self.containers(name).values())

    def is_ready(self, name: str) -> bool:
        found = self.containers(name).values()
        return bool(found) and all(container["ready"] for container in found)

    def volume(self, name: str, volume: str = "state") -> Path:
        """Where an emptyDir of a pod is on the node."""
        uid: str = self.pods()[name]["metadata"]["uid"]
        return self.folder / "kubelet" / "pods" / uid / "volumes" / "kubernetes.io~empty-dir" / volume

    def logs(self, name: str, container: str = "app", life: int | None = None) -> str:
        """What a container has printed, in all its lives or in one."""
        pattern = f"default_{name}-{NAME}_*/{container}/{'*' if life is None else life}.log"
        lines = []
        for file in sorted(Path("/var/log/pods").glob(pattern)):
            # Time, stream, whether the line is whole, text.
            lines += [line.split(" ", 3)[3] for line in file.read_text().splitlines()]
        return "\n".join(lines)

    def events(self, name: str) -> list[Event]:
        found = re.findall(
            rf'"Event occurred" object="default/{name}-{NAME}".* reason="(\w+)" message="((?:[^"\\]|\\.)*)"',
            (self.folder / "kubelet.log").read_text(),
        )
        return [Event(reason, json.loads(f'"{message}"')) for reason, message in found]

    # Its parts

    def _prepare(self) -> None:
        # What kubelet and containerd write to fixed places goes with the mount namespace.
        for place in ("/run", "/var/log"):
            _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place)
        Path("/var/log/pods").mkdir()
        _run("ip", "link", "set", "lo", "up")
        _run("hostname", NAME)
        # The kubelet sets these for the whole machine.
        for path, value in (("vm/overcommit_memory", "1"), ("kernel/panic", "10"), ("kernel/panic_on_oops", "1")):
            file = self.folder / Path(path).name
            file.write_text(value)
            _run("mount", "--bind", file, f"/proc/sys/{path}")
        for name in ("cni", "cni-bin", "manifests"):
            (self.folder / name).mkdir()
        for name in ("loopback", "none"):
            plugin = self.folder / "cni-bin" / name
            plugin.write_text(_NO_NETWORK)
            plugin.chmod(0o755)
        network = {"cniVersion": "0.4.0", "name": "none", "plugins": [{"type": "none"}]}
        (self.folder / "cni" / "none.conflist").write_text(json.dumps(network))

    def _start_containerd(self) -> None:
        config = self.folder / "containerd.toml"
        config.write_text(_CONTAINERD.format(folder=self.folder, socket=self.socket))
        self._start("containerd", "containerd", "-c", config)
        self._until("containerd", lambda: self._ctr("version").returncode == 0)

    def _import_images(self) -> None:
        app = Path(__file__).parents[2] / "examples"
        layers = {
            "python": Layer(python_root(self.folder / "root", app), self.folder / "python.tar"),
            "dash": Layer(shell_root(self.folder / "root-dash", "/usr/bin/dash"), self.folder / "dash.tar"),
            "busybox": Layer(shell_root(self.folder / "root-ash", _program("busybox")), self.folder / "ash.tar"),
        }
        pause = self.folder / "root-pause"
        pause.mkdir()
        shutil.copy(self.kubelet.parent / "pause", pause)
        layers["pause"] = Layer(pause, self.folder / "pause.tar")
        for name, parts, command in (
            ("localhost/pause:1", ("pause",), ["/pause"]),
            ("localhost/dash:1", ("python", "dash"), ["/bin/sh"]),
            ("localhost/busybox:1", ("python", "busybox"), ["/bin/sh"]),
            ("localhost/shell-less:1", ("python",), ["/usr/bin/python3"]),
        ):
            file = self.folder / "image.tar"
            write_image(name, [layers[part] for part in parts], file, command)
            done = self._ctr("--namespace", "k8s.io", "images", "import", str(file))
            if done.returncode:
                raise RuntimeError(f"{name}: cannot import: {done.stderr.decode()}")
        # Probes are measured: nothing else shall be compared with a cold disk.
        os.sync()

    def _start_kubelet(self) -> None:
        config = self.folder / "kubelet.json"
        own = {"staticPodPath": str(self.folder / "manifests"), "cgroupRoot": self.cgroup}
        config.write_text(json.dumps({**_KUBELET, **own}))
        self._start(
            "kubelet", self.kubelet, f"--config={config}", f"--root-dir={self.folder}/kubelet",
            f"--cert-dir={self.folder}/certs", f"--volume-plugin-dir={self.folder}/volume-plugins",
            "--container-runtime=remote", f"--container-runtime-endpoint=unix://{self.socket}",
            f"--image-service-endpoint=unix://{self.socket}", f"--hostname-override={NAME}", "--logtostderr=true",
            "--v=3",
        )  # fmt: skip
        self._until("kubelet", _kubelet_is_healthy)

    def _ctr(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["ctr", "--address", self.socket, *arguments], capture_output=True, check=False)

    def _start(self, name: str, *command: object) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes.append(subprocess.Popen([str(part) for part in command], stdout=log, stderr=log))

    def _until(self, name: str, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not is_so():
            if time.monotonic() > deadline or self._processes[-1].poll() is not None:
                end = (self.folder / f"{name}.log").read_text()[-3000:]
                raise RuntimeError(f"{name} does not come up:\n{end}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends kubelet and containerd; what runs in pods ends with the namespaces."""
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _kubelet_is_healthy() -> bool:
    try:
        with urllib.request.urlopen("http://127.0.0.1:10248/healthz", timeout=5):
            return True
    except OSError:
        return False


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name}: not found (make e2e installs it)")
    return found


def _run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True)
