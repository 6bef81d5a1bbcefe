"""What an application is, and what it runs on, by the names of OpenTelemetry's resource attributes."""

from __future__ import annotations

import os
import platform
import re
import socket
import sys
from typing import Any

from .command_line import without_secrets
from .instance_id import instance_id

_HOSTNAME_LENGTH = 253
# Kubernetes makes the random parts of names of these letters, and the hash of a template of a few of them: it encodes
# decimal digits (k8s.io/apimachinery, util/rand).
_RANDOM = "[bcdfghjklmnpqrstvwxz2456789]{5}"
_HASH = "[bcdf456789]{1,10}"
_NAME = r"(?P<name>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)"
_DEPLOYMENT = re.compile(f"{_NAME}-{_HASH}-{_RANDOM}")
# The pods of a DaemonSet or a Job, and of a StatefulSet. Other machines also have such names.
_OTHER = re.compile(f"{_NAME}-(?:{_RANDOM}|0|[1-9][0-9]{{0,5}})")
_NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

# Docker, podman and Kubernetes name a container by 64 digits; Amazon ECS by 32 and a number; Cloud Foundry by a UUID
# that is cut short.
_CONTAINER = r"[0-9a-f]{64}|[0-9a-f]{32}-[0-9]{5,20}|[0-9a-f]{8}(?:-[0-9a-f]{4}){4}"
_CGROUP = re.compile(rf"(?:^|[/:-])({_CONTAINER})(?:\.scope)?$")
# The folder of a container's files, which docker and podman mount. Mounts of containerd have the id of the sandbox.
_MOUNT = re.compile(r"/(?:overlay-)?containers/([0-9a-f]{64})/")


class Info(dict[str, Any]):
    """
    ``app`` and ``trace.attributes`` of this process, as /info shows them.

    With ``enable_service_instance_id``, they have an id that stays the same for this application on this host. Without
    ``show_command_line``, they have no command line; with it, the command line has no secrets.
    """

    def __init__(self, app_name: str, enable_service_instance_id: bool = False, show_command_line: bool = True) -> None:
        super().__init__()
        self["app"] = self.app_attributes(app_name)
        self["trace.attributes"] = self.trace_attributes(app_name, None, enable_service_instance_id)
        if not show_command_line:
            del self["trace.attributes"]["process.command_line"]

    @staticmethod
    def app_attributes(name: str | None = None, version: str | None = None) -> dict[str, str]:
        """Name and version. Default: the version of the environment variable VERSION."""
        return _known({"name": name, "version": version or os.environ.get("VERSION")})

    @staticmethod
    def trace_attributes(
        app_name: str, version: str | None = None, enable_service_instance_id: bool = False
    ) -> dict[str, Any]:
        """All attributes."""
        version = version or os.environ.get("VERSION")
        found: dict[str, Any] = {"service.name": app_name}
        if version:
            found["service.version"] = version
        for part in (Info.host_info, Info.os_info, Info.process_info, Info.machine_id, Info.container_id):
            found.update(part())
        if enable_service_instance_id:
            found.update(Info.service_instance_id(app_name))
        found.update(_of_this_pod())
        return found

    @staticmethod
    def host_info(hostname: str | None = None) -> dict[str, str]:
        """Architecture and names of the host. ``host.hostname`` is HOSTNAME of the environment, else the kernel's."""
        machine = platform.machine()
        arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
        return _known({"host.arch": arch, "host.name": platform.node(), "host.hostname": hostname or _hostname()})

    @staticmethod
    def os_info() -> dict[str, str]:
        """The kernel."""
        system = platform.system()
        return {"os.description": f"{system} {platform.release()}", "os.type": system.lower()}

    @staticmethod
    def process_info() -> dict[str, Any]:
        """This process and its interpreter."""
        return {
            "process.pid": os.getpid(),
            # An embedded interpreter has no original arguments.
            "process.command_line": without_secrets(sys.orig_argv or sys.argv),
            "process.executable.path": sys.executable,
            "process.runtime.description": " ".join(platform.python_build()),
            "process.runtime.name": platform.python_implementation(),
            "process.runtime.version": platform.python_version(),
        }

    @staticmethod
    def machine_id(machine_id_file: str = "/etc/machine-id") -> dict[str, str]:
        """The id of the machine, or of the image; empty if it has none."""
        found = Info.read_first_line(machine_id_file)
        return {"machine.id": found} if found and re.fullmatch("[0-9a-f]{32}", found) else {}

    @staticmethod
    def container_id(
        cgroup_file: str = "/proc/self/cgroup", mountinfo_file: str = "/proc/self/mountinfo"
    ) -> dict[str, str]:
        """
        The id of the container; empty if the kernel does not show it.

        It is the end of the cgroup's path, under version 1 and 2. In a cgroup namespace, usual under version 2, the
        path is ``/``; then the mounts of docker and podman contain it, see cgroup_namespaces(7).
        """
        for line in _lines(cgroup_file):
            if match := _CGROUP.search(line):
                return {"container.id": match[1]}
        for line in _lines(mountinfo_file):
            # The fourth field: the root of the mount within its file system, see proc_pid_mountinfo(5).
            fields = line.split(" ")
            if len(fields) > 4 and (match := _MOUNT.search(fields[3])):
                return {"container.id": match[1]}
        return {}

    @staticmethod
    def service_instance_id(app_name: str, service_instance_id_file: str | None = None) -> dict[str, str]:
        """An id that is created once, and kept in a file; empty if it cannot be kept safely."""
        return _known({"service.instance.id": instance_id(app_name, service_instance_id_file)})

    @staticmethod
    def k8s(hostname: str | None = None, namespace: str | None = None) -> dict[str, str]:
        """The name of the pod and of its workload, for Deployments, StatefulSets, DaemonSets and Jobs."""
        hostname = hostname or _hostname()
        match = len(hostname) <= _HOSTNAME_LENGTH and (_DEPLOYMENT.fullmatch(hostname) or _OTHER.fullmatch(hostname))
        found = {"k8s.pod.name": hostname, "k8s.container.name": match["name"]} if match else {}
        return found | _known({"k8s.namespace.name": namespace or os.environ.get("NAMESPACE")})

    @staticmethod
    def read_first_line(file: str) -> str | None:
        """The first 1024 characters of the first line of a file, trimmed; None if it cannot be read, or is empty."""
        lines = _lines(file) if os.path.isfile(file) else []
        return (lines[0][:1024].strip() or None) if lines else None


def _known(attributes: dict[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in attributes.items() if value}


def _hostname() -> str:
    return os.environ.get("HOSTNAME") or socket.gethostname()


def _of_this_pod() -> dict[str, str]:
    hostname = _hostname()
    namespace = os.environ.get("NAMESPACE") or Info.read_first_line(_NAMESPACE_FILE)
    # Any machine may be named web-1, but none is named like a pod of a Deployment.
    is_pod = "KUBERNETES_SERVICE_HOST" in os.environ or namespace or _DEPLOYMENT.fullmatch(hostname)
    return Info.k8s(hostname, namespace) if is_pod else {}


def _lines(file: str) -> list[str]:
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            return opened.read(1 << 20).splitlines()
    except OSError:
        return []
