"""What an application is, and what it runs on, by the names that OpenTelemetry gives to attributes of a resource."""

from __future__ import annotations

import os
import platform
import re
import socket
import stat
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import psutil

_HOSTNAME_LENGTH = 253
# Kubernetes makes the random parts of a name of these letters, and the hash of a template of a few of them: it encodes
# decimal digits (k8s.io/apimachinery, util/rand).
_RANDOM = "[bcdfghjklmnpqrstvwxz2456789]{5}"
_HASH = "[bcdf456789]{1,10}"
_NAME = r"(?P<name>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)"
_DEPLOYMENT = re.compile(f"{_NAME}-{_HASH}-{_RANDOM}")
# The pods of a DaemonSet or a Job, and of a StatefulSet. Other machines have such names, too.
_OTHER = re.compile(f"{_NAME}-(?:{_RANDOM}|0|[1-9][0-9]{{0,5}})")
_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

# Docker, podman and Kubernetes name a container by 64 digits; Amazon ECS by 32 and a number; Cloud Foundry by a UUID
# that is cut short.
_CONTAINER = r"[0-9a-f]{64}|[0-9a-f]{32}-[0-9]{5,20}|[0-9a-f]{8}(?:-[0-9a-f]{4}){4}"
_CGROUP = re.compile(rf"(?:^|[/:-])({_CONTAINER})(?:\.scope)?$")
# Where docker and podman keep what they mount into a container; containerd's mounts bear the name of the pod's sandbox.
_MOUNT = re.compile(r"/(?:overlay-)?containers/([0-9a-f]{64})/")

# An option whose value is nobody's business. (`=` always ends what is shown.)
_SECRET = re.compile(
    r"-.*(?:pass|pwd|secret|token|key|auth|credential|cookie|dsn|salt|private|user|login|bearer|header)[^ =]*",
    re.IGNORECASE,
)
_HIDDEN = "***"


class Info(dict[str, Any]):
    """
    ``app`` and ``trace.attributes`` of this process, as /info answers them.

    With ``enable_service_instance_id`` there is an id that stays the same for this application on this host as long as
    its folder for temporary files does. Without ``show_command_line`` no part of the command line is shown; with it
    neither what comes after a ``=`` nor the value of an option whose name looks like a secret.
    """

    def __init__(self, app_name: str, enable_service_instance_id: bool = False, show_command_line: bool = True) -> None:
        super().__init__()
        self["app"] = self.app_attributes(app_name)
        self["trace.attributes"] = self.trace_attributes(app_name, None, enable_service_instance_id)
        if not show_command_line:
            del self["trace.attributes"]["process.command_line"]

    @staticmethod
    def app_attributes(name: str | None = None, version: str | None = None) -> dict[str, str]:
        """Name and version; that of the environment variable VERSION unless told."""
        found = {"name": name, "version": version or os.environ.get("VERSION")}
        return {key: value for key, value in found.items() if value}

    @staticmethod
    def trace_attributes(
        app_name: str, version: str | None = None, enable_service_instance_id: bool = False
    ) -> dict[str, Any]:
        """All attributes of the resource."""
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
        """Architecture and names of the host; ``host.hostname`` is that of the environment, else the kernel's."""
        hostname = hostname or _hostname()
        machine = platform.machine()
        found = {
            "host.arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
            "host.name": platform.node(),
            "host.hostname": hostname,
        }
        return {key: value for key, value in found.items() if value}

    @staticmethod
    def os_info() -> dict[str, str]:
        """The kernel."""
        return {
            "os.description": f"{platform.system()} {platform.release()}",
            "os.type": platform.system().lower(),
        }

    @staticmethod
    def process_info() -> dict[str, Any]:
        """This process and its interpreter."""
        command, executable = sys.argv, sys.executable
        try:
            # A server that embeds the interpreter sets neither.
            process = psutil.Process()
            command = process.cmdline() or command
            executable = executable or process.exe()
        except (psutil.Error, OSError):
            pass
        return {
            "process.pid": os.getpid(),
            "process.command_line": without_secrets(command),
            "process.executable.path": executable,
            "process.runtime.description": " ".join(platform.python_build()),
            "process.runtime.name": platform.python_implementation(),
            "process.runtime.version": platform.python_version(),
        }

    @staticmethod
    def machine_id(machine_id_file: str = "/etc/machine-id") -> dict[str, str]:
        """The id of the machine, or of the image; nothing if it has none."""
        found = Info.read_first_line(machine_id_file)
        return {"machine.id": found} if found and re.fullmatch("[0-9a-f]{32}", found) else {}

    @staticmethod
    def container_id(
        cgroup_file: str = "/proc/self/cgroup", mountinfo_file: str = "/proc/self/mountinfo"
    ) -> dict[str, str]:
        """
        The id of the container, if the kernel shows it.

        It is the end of our cgroup's path, under version 1 and 2. In a cgroup namespace, usual under version 2, that is
        ``/``; then docker and podman can be told by what they mount, see cgroup_namespaces(7).
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
        """
        An id that is made once, and kept in a file of ours, by default in the folder for temporary files.

        Nothing if it cannot be kept there, or if that name is somebody else's, or leads elsewhere.
        """
        name = re.sub(r"[^A-Za-z0-9._-]", "_", app_name)[:100]
        try:
            # On a read-only root there is no such folder at all.
            file = service_instance_id_file or os.path.join(tempfile.gettempdir(), f"{name}-service-instance-id")
            _keep(file, uuid.uuid4().hex)
            found = _kept(file)
        except (OSError, ValueError):
            found = None
        return {"service.instance.id": found} if found else {}

    @staticmethod
    def k8s(hostname: str | None = None, namespace: str | None = None) -> dict[str, str]:
        """
        What a pod's hostname, and its namespace, tell: the name of the pod, and that of what it belongs to.

        Known are the names that Deployments, StatefulSets, DaemonSets and Jobs give to their pods.
        """
        hostname, namespace = hostname or _hostname(), namespace or os.environ.get("NAMESPACE")
        found = {}
        match = len(hostname) <= _HOSTNAME_LENGTH and (_DEPLOYMENT.fullmatch(hostname) or _OTHER.fullmatch(hostname))
        if match:
            found.update({"k8s.pod.name": hostname, "k8s.container.name": match["name"]})
        if namespace:
            found["k8s.namespace.name"] = namespace
        return found

    @staticmethod
    def read_first_line(file: str) -> str | None:
        """The first 1024 characters of the first line of a file, without spaces around; None if it cannot be read."""
        if not os.path.isfile(file):
            return None
        lines = _lines(file)
        return (lines[0][:1024].strip() or None) if lines else None


def without_secrets(command: Sequence[str]) -> str:
    """A command line for strangers: without what comes after a ``=``, a user's password in a URL, and secret values."""
    shown = []
    hide = False
    for word in command:
        name, equals, _ = word.partition("=")
        if hide and not word.startswith("-"):
            shown.append(_HIDDEN)
        elif equals and " " not in name:
            shown.append(f"{name}={_HIDDEN}")
        elif " " in word.strip():
            # A command in a command, or the title that a process has set for itself.
            shown.append(without_secrets(word.split()))
        else:
            shown.append(re.sub("://.*@", f"://{_HIDDEN}@", word))
        hide = bool(_SECRET.fullmatch(word))
    return " ".join(shown)


def _hostname() -> str:
    return os.environ.get("HOSTNAME") or socket.gethostname()


def _of_this_pod(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    hostname = _hostname()
    namespace = environment.get("NAMESPACE") or Info.read_first_line(f"{_SERVICE_ACCOUNT}/namespace")
    in_kubernetes = "KUBERNETES_SERVICE_HOST" in environment or bool(namespace)
    found = Info.k8s(hostname, namespace)
    # web-1 may be any machine; what a Deployment's pod is called no machine is.
    if not in_kubernetes and not _DEPLOYMENT.fullmatch(hostname):
        found = {}
    return found


def _lines(file: str) -> list[str]:
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            return opened.read(1 << 20).splitlines()
    except OSError:
        return []


# The file of the instance id


def _keep(file: str, text: str) -> None:
    """Makes the file, whole at once, unless there is one by this name."""
    if os.path.lexists(file):
        return
    made = f"{file}.{uuid.uuid4().hex}"
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(descriptor, f"{text}\n".encode())
        finally:
            os.close(descriptor)
        # Another worker may do the same at this moment: a link goes to one of them, and a reader sees no half of it.
        try:
            os.link(made, file)
        except FileExistsError:
            pass
    finally:
        os.unlink(made)


def _kept(file: str) -> str | None:
    """The id in it, if the file is ours alone and no link."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return None
        text = os.read(descriptor, 100).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)
    return text if re.fullmatch("[0-9a-f]{32}", text) else None
