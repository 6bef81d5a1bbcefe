"""What is built holds what it should, and works where it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import venv
import zipfile
from pathlib import Path

import pytest
from stage import ROOT

DAEMON = """
import liveness, time
with liveness.running([], ttl=30) as unit:
    while True:
        unit.beat(30)
        time.sleep(0.01)
"""


def run(*command: object, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True, text=True, check=False, timeout=100, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to build in, so that the tree under test stays as it is."""
    copy = tmp_path_factory.mktemp("source") / "liveness"
    ignore = shutil.ignore_patterns(
        ".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"
    )
    shutil.copytree(ROOT, copy, ignore=ignore)
    return copy


@pytest.fixture(scope="module")
def built(source: Path) -> dict[str, Path]:
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", source / "dist", source)
    (sdist,) = (source / "dist").glob("*.tar.gz")
    (wheel,) = (source / "dist").glob("*.whl")
    return {"sdist": sdist, "wheel": wheel}


def test_the_sdist_holds_all_that_is_in_the_project(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
        health = archive.getmember(next(name for name in archive.getnames() if name.endswith("/health.sh")))
    project = set(run("git", "-C", ROOT, "ls-files").split()) if (ROOT / ".git").exists() else held
    assert project - held <= {".gitignore"}
    assert {".ci/run", "Makefile", "README.md", "test_health.sh", "tests/tools.sh", "tests/health/helper.bash"} <= held
    assert health.mode & 0o111


def test_the_wheel_holds_the_package_and_the_script_and_no_more(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as archive:
        held = set(archive.namelist())
    files = [path for path in (ROOT / "liveness").rglob("*") if path.suffix in (".py", ".typed")]
    package = {str(path.relative_to(ROOT)) for path in files}
    rest = {name for name in held - package if ".dist-info/" not in name}
    assert package <= held
    assert [name.partition("/")[2] for name in rest] == ["scripts/health.sh"]


@pytest.fixture
def installed(built: dict[str, Path], tmp_path: Path) -> Path:
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", built["wheel"])
    return tmp_path / "venv"


def test_a_daemon_on_the_installed_package_is_probed_by_the_installed_script(installed: Path, rundir: Path) -> None:
    names = {"LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u"}
    environment = {"PATH": f"{installed / 'bin'}:/usr/bin:/bin", **names}
    daemon = subprocess.Popen([installed / "bin" / "python", "-I", "-c", DAEMON], env=environment, cwd="/")
    try:
        deadline = time.monotonic() + 20
        while subprocess.run(["health.sh"], env=environment, check=False, stderr=subprocess.DEVNULL).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        said = run("health.sh", "-v", **environment)
        assert said == f"liveness: u: healthy: process {daemon.pid}, error 0, fresh heartbeats: 1\n"
    finally:
        daemon.kill()
        daemon.wait()
    assert subprocess.run(["health.sh", "-q"], env=environment, check=False).returncode == 1


def dockerfile_steps(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^(COPY|RUN) (.*)$", text, re.MULTILINE)


def test_the_steps_of_the_dockerfile_install_a_worker_and_a_probe_that_run(source: Path, tmp_path: Path) -> None:
    tools_of_this_interpreter(source)
    shutil.rmtree(source / "dist", ignore_errors=True)
    run("make", "-C", source, "wheel")
    venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    environment = {"PATH": f"{tmp_path / 'venv' / 'bin'}:/usr/bin:/bin", "PIP_NO_INDEX": "1"}
    app = tmp_path / "app"
    app.mkdir()
    steps = dockerfile_steps((ROOT / "examples/kubernetes/Dockerfile").read_text())
    assert dockerfile_steps((ROOT / "README.md").read_text()) == steps[:3]
    for verb, rest in steps:
        if verb == "RUN":
            subprocess.run(rest, shell=True, cwd=app, env={**os.environ, **environment}, check=True)
            continue
        *patterns, target = rest.split()
        (app / target).mkdir(exist_ok=True)
        for pattern in patterns:
            (file,) = source.glob(pattern)
            shutil.copy(file, app / target)
    assert sorted(file.name for file in app.iterdir()) == ["worker.py", "worker_checks.py"]
    found = "import liveness, worker_checks; print(liveness.__file__)"
    python = tmp_path / "venv" / "bin" / "python"
    said = subprocess.run([python, "-c", found], cwd=app, capture_output=True, text=True, check=True).stdout
    assert said.startswith(str(tmp_path / "venv"))
    shutil.rmtree(source / ".venv")


def tools_of_this_interpreter(source: Path) -> None:
    """A .venv there whose Python is this one."""
    (source / ".venv" / "bin").mkdir(parents=True)
    (source / ".venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (source / ".venv" / "bin" / "python").chmod(0o755)
    (source / ".venv" / "ready").touch()


def test_install_puts_everything_below_its_root_and_uninstall_takes_it_away(source: Path, tmp_path: Path) -> None:
    if shutil.which("makeinfo") is None:
        pytest.skip("there is no makeinfo")
    tools_of_this_interpreter(source)
    for target in ("install", "uninstall"):
        run("make", "-C", source, target, f"DESTDIR={tmp_path}", "PREFIX=/opt/x")
        files = {str(path.relative_to(tmp_path / "opt/x")) for path in tmp_path.rglob("*") if path.is_file()}
        if target == "install":
            site = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/liveness"
            assert {"bin/health.sh", "share/info/liveness.info", f"{site}/unit.py", f"{site}/py.typed"} <= files
            assert os.access(tmp_path / "opt/x/bin/health.sh", os.X_OK)
            assert run(tmp_path / "opt/x/bin/health.sh", "-h").startswith("health.sh")
    assert files == set()
    shutil.rmtree(source / ".venv")
