"""
Container images from what is on this machine: Debian's Python with the wheel in it, and a shell of choice.

Nothing is pulled from anywhere. The form is that of `docker save`, which `ctr images import` reads.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: What no program here imports, and what would make the image three times as large.
_LEFT_OUT = shutil.ignore_patterns("test", "idlelib", "lib2to3", "tkinter", "ensurepip", "config-*", "distutils")

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def python_root(folder: Path, app: Path) -> Path:
    """A root file system with Python, tini, the wheel as pip installs it and the files of an application in /app."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (folder / "usr" / name).mkdir(parents=True)
        (folder / name).symlink_to(f"usr/{name}")
    for name in ("app", "dev", "etc", "proc", "run", "state", "sys", "tmp", "usr/local/bin"):
        (folder / name).mkdir(parents=True)
    (folder / "tmp").chmod(0o1777)
    (folder / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\n")

    python = Path("/usr/bin/python3").resolve()
    _copy_program(folder, str(python))
    (folder / "usr/bin/python3").symlink_to(python.name)
    (folder / "usr/bin/python").symlink_to(python.name)
    for program in ("/usr/bin/tini", "/usr/bin/true"):
        _copy_program(folder, program)
    library = f"usr/lib/{python.name}"
    shutil.copytree(f"/{library}", folder / library, symlinks=True, ignore=_LEFT_OUT)
    for module in (folder / library / "lib-dynload").glob("*.so"):
        _copy_libraries(folder, str(module))

    packages = folder / "usr/local/lib" / python.name / "dist-packages"
    _install_the_wheel(packages)
    _copy_web_servers(packages)
    (packages / "bin" / "health.sh").rename(folder / "usr/local/bin/health.sh")
    for file in app.glob("*.py"):
        shutil.copy(file, folder / "app")
    # As an image build does it: else every start of a user who may not write there would compile anew.
    subprocess.run([python, "-m", "compileall", "-q", packages, folder / "app"], check=True)
    return folder


def shell_root(folder: Path, shell: str) -> Path:
    """A layer with this one for /bin/sh."""
    (folder / "usr/bin").mkdir(parents=True)
    _copy_program(folder, shell)
    (folder / "usr/bin/sh").symlink_to(Path(shell).name)
    return folder


def _install_the_wheel(packages: Path) -> None:
    wheels = str(packages.parent / "wheels")
    for command in (
        ["-m", "build", "--no-isolation", "--wheel", "--outdir", wheels, str(ROOT)],
        ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--find-links", wheels, "--no-compile",
         "--disable-pip-version-check", "--target", str(packages), "liveness-probe"],
    ):  # fmt: skip
        subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(wheels)


def _copy_web_servers(packages: Path) -> None:
    """Those of the project's venv, which are pure Python."""
    for name in ("click", "gunicorn", "h11", "packaging", "uvicorn"):
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        shutil.copytree(Path(found.origin).parent, packages / name, ignore=shutil.ignore_patterns("__pycache__"))


def _copy_program(folder: Path, path: str) -> None:
    target = folder / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)
    _copy_libraries(folder, path)


def _copy_libraries(folder: Path, path: str) -> None:
    said = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
    for library in re.findall(r"(/\S+) \(0x", said):
        # /lib is a link to /usr/lib.
        target = folder / f"usr{library}".replace("usr/usr", "usr").lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)


class Layer:
    """A root file system, or a part of one, as a tar file."""

    def __init__(self, folder: Path, tar: Path) -> None:
        self.tar = tar
        with tarfile.open(tar, "w") as archive:
            for name in sorted(os.listdir(folder)):
                archive.add(folder / name, name, filter=_of_root)
        self.digest = hashlib.sha256(tar.read_bytes()).hexdigest()


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    return member


def write_image(name: str, layers: list[Layer], file: Path, command: list[str]) -> None:
    """Writes an image of these layers, the lowest first."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": command, "Env": [f"PATH={_PATH}"], "WorkingDir": "/app"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in layers]},
            "history": [{"created_by": "liveness"} for _ in layers],
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [f"{layer.digest}.tar" for layer in layers]}]
    with tarfile.open(file, "w") as archive:
        for member, data in ((config_name, config), ("manifest.json", json.dumps(manifest).encode())):
            found = tarfile.TarInfo(member)
            found.size = len(data)
            archive.addfile(found, io.BytesIO(data))
        for layer in layers:
            archive.add(layer.tar, f"{layer.digest}.tar")
