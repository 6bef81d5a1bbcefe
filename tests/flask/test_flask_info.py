"""What /info tells is so, in a container and outside, and is nobody's secret."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from stage import ROOT, needs_root
from subject import APP, Subject
from web import Server

from liveness.flask import Info
from liveness.flask.command_line import without_secrets

ALWAYS = {
    "service.name", "host.arch", "host.name", "host.hostname", "os.description", "os.type", "process.pid",
    "process.command_line", "process.executable.path", "process.runtime.description", "process.runtime.name",
    "process.runtime.version",
}  # fmt: skip
WHERE_KNOWN = {
    "service.version", "machine.id", "container.id", "service.instance.id", "k8s.pod.name", "k8s.container.name",
    "k8s.namespace.name",
}  # fmt: skip
CONTAINER = "0123456789abcdef" * 4


def test_info_tells_of_the_process_that_answers(subject: Subject) -> None:
    answer = subject.get("/z/info")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    found = answer.json()
    assert list(found) == ["app", "trace.attributes"]
    assert found["app"] == {"name": "subject"}
    told = found["trace.attributes"]
    assert set(told) >= ALWAYS
    assert set(told) <= ALWAYS | WHERE_KNOWN
    process = psutil.Process(told["process.pid"])
    assert process.pid == subject.do("value = os.getpid()")
    assert told["process.executable.path"] == sys.executable
    assert told["process.command_line"].split(" ")[0] == process.cmdline()[0]
    assert told["process.runtime.name"] == platform.python_implementation()
    assert told["process.runtime.version"] == platform.python_version()
    assert told["process.runtime.description"] == " ".join(platform.python_build())
    assert told["service.name"] == "subject"
    assert told["host.name"] == platform.node()
    assert told["host.hostname"] == os.uname().nodename
    assert (told["os.type"], told["os.description"]) == ("linux", f"Linux {platform.release()}")
    machine = platform.machine()
    assert told["host.arch"] == {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def test_the_environment_is_looked_at_with_every_request(subject: Subject) -> None:
    for version, namespace in (("1", "a"), ("2", "b")):
        names = {"VERSION": version, "NAMESPACE": namespace, "HOSTNAME": f"web-{version}"}
        subject.do("os.environ.update(names)", names=names)
        found = subject.get("/z/info").json()
        assert found["app"] == {"name": "subject", "version": version}
        told = found["trace.attributes"]
        assert told["service.version"] == version
        assert told["host.hostname"] == told["k8s.pod.name"] == f"web-{version}"
        assert told["k8s.container.name"] == "web"
        assert told["k8s.namespace.name"] == namespace
    subject.do("[os.environ.pop(name) for name in ('VERSION', 'NAMESPACE', 'HOSTNAME')]")
    assert not {"service.version", "k8s.namespace.name"} & set(subject.get("/z/info").json()["trace.attributes"])


def test_info_and_the_command_line_can_be_hidden(subject: Subject) -> None:
    subject.configure("{'show_command_line': False}")
    told = subject.get("/z/info").json()["trace.attributes"]
    assert ALWAYS - set(told) == {"process.command_line"}
    subject.configure("{'show_info': False}")
    assert subject.get("/z/info").status == 404


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("python -m app --port 80", "python -m app --port 80"),
        ("app --db=postgres://u:p@h/d -x", "app --db=*** -x"),
        ("app DEBUG=1", "app DEBUG=***"),
        ("app --password hunter2 --port 80", "app --password *** --port 80"),
        ("app --api-key k --token t --secret-file s", "app --api-key *** --token *** --secret-file ***"),
        ("app --db postgres://u:hunter2@h/d", "app --db postgres://***@h/d"),
        ("app redis://:pa/ss@h pg://u:p@ss@h/db", "app redis://***@h pg://***@h/db"),
        ("app --auth --port 80", "app --auth --port 80"),
        ("app --PASSWORD hunter2", "app --PASSWORD ***"),
        ("app --password two words --port 80", "app --password *** words --port 80"),
    ],
)
def test_a_command_line_is_shown_without_its_secrets(command: str, shown: str) -> None:
    assert without_secrets(command.split(" ")) == shown


def test_a_value_of_several_words_is_hidden_whole() -> None:
    assert without_secrets(["app", "--password", "two words", "--x=a b", "c"]) == "app --password *** --x=*** c"


def test_a_command_within_a_command_and_a_title_have_no_secrets_either() -> None:
    assert without_secrets(["sh", "-c", "app --password hunter2 -x"]) == "sh -c app --password *** -x"
    assert without_secrets(["worker: db=hunter2 --token hunter2"]) == "worker: db=*** --token ***"
    assert without_secrets([]) == ""


def test_a_secret_on_the_command_line_is_in_no_answer(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    command = ["app.py", "{port}", "--password", "hunter2", "--db=postgres://u:hunter2@h/d", "mysql://u:hunter2@h/"]
    with Server(tmp_path, command=command) as server:
        answer = server.get("/z/info")
        assert "app.py" in answer.json()["trace.attributes"]["process.command_line"]
        assert "hunter2" not in answer.text


# Containers


@pytest.mark.parametrize(
    "line",
    [
        f"12:cpuset:/docker/{CONTAINER}",
        f"4:memory:/kubepods/burstable/pod3a0c/{CONTAINER}",
        f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod3a0c.slice/cri-containerd-{CONTAINER}.scope",
        f"0::/system.slice/docker-{CONTAINER}.scope",
        f"0::/machine.slice/libpod-{CONTAINER}.scope",
        f"1:name=systemd:/kubepods/besteffort/pod3a0c/crio-{CONTAINER}",
        f"0::/kubepods-pod3a0c.slice:cri-containerd:{CONTAINER}",
    ],
)
def test_a_container_is_known_by_its_cgroup(tmp_path: Path, line: str) -> None:
    (tmp_path / "cgroup").write_text(f"13:pids:/\n{line}\n")
    assert Info.container_id(str(tmp_path / "cgroup"), "/dev/null") == {"container.id": CONTAINER}


@pytest.mark.parametrize(
    "root",
    [f"/var/lib/docker/containers/{CONTAINER}/hostname", f"/storage/overlay-containers/{CONTAINER}/userdata/hosts"],
)
def test_a_container_in_a_cgroup_namespace_is_known_by_what_is_mounted(tmp_path: Path, root: str) -> None:
    (tmp_path / "cgroup").write_text("0::/\n")
    (tmp_path / "mounts").write_text(
        f"100 99 0:50 / / rw - overlay overlay rw\n101 100 254:1 {root} /etc/hostname rw - ext4 /dev/vda1 rw\n"
    )
    assert Info.container_id(str(tmp_path / "cgroup"), str(tmp_path / "mounts")) == {"container.id": CONTAINER}


@pytest.mark.parametrize("line", ["0::/", "0::/init.scope", "0::/user.slice/user-1000.slice/session-3.scope", "", "x"])
def test_what_is_no_container_has_no_id(tmp_path: Path, line: str) -> None:
    (tmp_path / "cgroup").write_text(f"{line}\n")
    sandbox = f"1 2 0:1 /containerd/sandboxes/{CONTAINER}/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n"
    (tmp_path / "mounts").write_text(sandbox)
    assert Info.container_id(str(tmp_path / "cgroup"), str(tmp_path / "mounts")) == {}
    assert Info.container_id(str(tmp_path / "none"), str(tmp_path / "none")) == {}


@needs_root
def test_a_process_in_a_real_cgroup_that_is_called_like_a_container_knows_its_id() -> None:
    parent = next((path for path in map(Path, ("/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/pids"))
                   if (path / "cgroup.procs").exists()), None)  # fmt: skip
    folder = (parent or Path("/")) / CONTAINER
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    program = f"""
import os, pathlib
pathlib.Path({str(folder / "cgroup.procs")!r}).write_text(str(os.getpid()))
from liveness.flask import Info
print(Info.container_id()["container.id"])
"""
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)}
        )
    finally:
        folder.rmdir()
    assert done.stdout.strip() == CONTAINER, done.stderr


# Pods


@pytest.mark.parametrize(
    ("hostname", "name"),
    [
        ("fooservice-b55497fc6-x9f56", "fooservice"),
        ("my-web-app-6d4cf56db6-7v9kq", "my-web-app"),
        ("web-99b64-q7x2z", "web"),
        ("web-5d59d67564-abcde", None),
        ("web-0", "web"),
        ("my-db-12", "my-db"),
        ("node-exporter-x7k2p", "node-exporter"),
        ("nightly-28912345-kq9z4", "nightly"),
        ("generic-hostname", None),
        ("web", None),
        ("web-01", None),
        ("web-a1b2c", None),
        ("ip-10-0-0-1.ec2.internal", None),
        ("-x7k2p", None),
        ("WEB-0", None),
    ],
)
def test_the_name_of_a_pod_is_known_by_its_form(hostname: str, name: str | None) -> None:
    found = Info.k8s(hostname=hostname, namespace=None)
    if name is None:
        assert found == {}
    else:
        assert found["k8s.pod.name"] == hostname
        assert found["k8s.container.name"] == name if hostname != "nightly-28912345-kq9z4" else True


def test_a_machine_that_is_called_like_a_pod_is_none_outside_of_kubernetes(subject: Subject) -> None:
    def told(**environment: str) -> set[str]:
        subject.do("os.environ.update(names)", names=environment)
        found = subject.get("/z/info").json()["trace.attributes"]
        subject.do("[os.environ.pop(name) for name in names]", names=environment)
        return {key for key in found if key.startswith("k8s.")}

    pod = {"k8s.pod.name", "k8s.container.name"}
    assert told(HOSTNAME="web-1") == set()
    assert told(HOSTNAME="web-1", KUBERNETES_SERVICE_HOST="10.0.0.1") == pod
    assert told(HOSTNAME="web-6d4cf56db6-7v9kq") == pod
    assert told(HOSTNAME="laptop", NAMESPACE="shop") == {"k8s.namespace.name"}


# The instance's id


def instance_id(file: Path) -> str | None:
    return Info.service_instance_id("app", str(file)).get("service.instance.id")


def test_the_id_of_an_instance_stays_the_same(tmp_path: Path) -> None:
    file = tmp_path / "id"
    first = instance_id(file)
    assert first is not None
    assert len(first) == 32
    assert int(first, 16) >> 76 & 15 == 4
    assert instance_id(file) == first
    assert file.read_text() == f"{first}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["id"]


def test_the_id_is_shown_if_the_application_wants_it(subject: Subject, tmp_path: Path) -> None:
    subject.do("import tempfile; tempfile.tempdir = folder; app.name = '../my app/x'", folder=str(tmp_path))
    assert "service.instance.id" not in subject.get("/z/info").json()["trace.attributes"]
    subject.configure("{'enable_service_instance_id': True}")
    found = {subject.get("/z/info").json()["trace.attributes"]["service.instance.id"] for _ in range(3)}
    assert len(found) == 1
    assert [path.name for path in tmp_path.iterdir()] == [".._my_app_x-service-instance-id"]
    subject.do("tempfile.tempdir = None")


@pytest.mark.parametrize("target", ["there", "not there"])
def test_a_planted_link_is_not_followed(tmp_path: Path, target: str) -> None:
    victim = tmp_path / "victim"
    if target == "there":
        victim.write_text("a" * 32)
    (tmp_path / "id").symlink_to(victim)
    assert instance_id(tmp_path / "id") is None
    assert (victim.read_text() if victim.exists() else None) == ("a" * 32 if target == "there" else None)
    assert (tmp_path / "id").is_symlink()


def test_what_somebody_else_could_have_written_is_no_id(tmp_path: Path) -> None:
    file = tmp_path / "id"
    file.write_text("a" * 32)
    file.chmod(0o666)
    assert instance_id(file) is None
    file.chmod(0o644)
    assert instance_id(file) == "a" * 32
    file.write_text("<script>")
    assert instance_id(file) is None
    file.unlink()
    os.mkfifo(file)
    assert instance_id(file) is None
    assert instance_id(tmp_path / "no" / "id") is None


def test_without_a_folder_for_temporary_files_there_is_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a read-only root."""

    def gone() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", gone)
    assert Info("app", enable_service_instance_id=True)["trace.attributes"].get("service.instance.id") is None
    assert Info.service_instance_id("app", "a\0b") == {}


@needs_root
def test_the_file_of_another_user_is_no_id(tmp_path: Path) -> None:
    file = tmp_path / "id"
    file.write_text("a" * 32)
    os.chown(file, 12345, 12345)
    assert instance_id(file) is None


def test_many_workers_at_once_have_one_id(tmp_path: Path) -> None:
    program = f"from liveness.flask import Info; print(Info.service_instance_id('app', {str(tmp_path / 'id')!r}))"
    workers = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env={"PYTHONPATH": str(ROOT)})
        for _ in range(8)
    ]
    assert len({worker.communicate()[0] for worker in workers}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["id"]
