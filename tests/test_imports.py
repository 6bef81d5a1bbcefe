"""Who imports whom, and what `import liveness` may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from stage import ROOT

PACKAGE = ROOT / "liveness"

# A module imports only from rows below its own; a framework only in the file or folder that bears its name.
ROWS = {
    "errors": 0, "log": 0, "proc": 0,
    "names": 1, "formats": 1, "checks": 1, "resources": 1, "stacks": 1, "access_log": 1, "children": 1,
    "ticker": 1, "connections": 1,
    "directory": 2, "notify": 2, "arguments": 2,
    "holder": 3, "verdict": 3, "mailbox": 3,
    "membership": 4, "probe": 4,
    "life": 5, "declarations": 5, "leases": 5,
    "heartbeats": 6, "jobs": 6,
    "unit": 7, "bodies": 7,
    "draining": 8,
    "monitor": 8, "endpoint": 8, "status": 8, "linux": 8, "reported": 8, "lifespan": 8,
    "__init__": 9,
    "flask": 9, "django": 9, "asgi": 9, "wsgi": 9, "server": 9, "celery": 9, "gunicorn": 9, "aio": 9,
    "supervisor": 9, "run": 10, "cli": 11, "__main__": 12,
}  # fmt: skip
# What else an integration may import: its framework, and the libraries that it is built on.
LIBRARIES = {
    "flask": {"flask", "certifi"},
    "django": {"django", "asgiref"}, "celery": {"celery"}, "gunicorn": {"gunicorn"},
}  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The absolute names of what a file imports, wherever in it."""
    package = ["liveness", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = [*base, node.module] if node.module else base
            # `from . import state`: the names are modules.
            found |= {".".join([*stem, alias.name]) for alias in node.names} if not node.module else {".".join(stem)}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_the_rows_below_its_own(path: Path) -> None:
    module = module_of(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "liveness":
            continue
        other = parts[1] if len(parts) > 1 else "__init__"
        assert other == module or ROWS[other] < ROWS[module], f"{path.name} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_nothing_of_a_third_party_but_its_framework_and_psutil_where_it_is_for(path: Path) -> None:
    for name in imports(path):
        top = name.split(".")[0]
        if top in sys.stdlib_module_names or top == "liveness":
            continue
        allowed = LIBRARIES.get(module_of(path), set()) | ({"psutil"} if ROWS[module_of(path)] >= 8 else set())
        assert top in allowed, f"{path.name} imports {name}"


# What an interpreter has loaded by itself, with no site to load more.
BARE = [sys.executable, "-I", "-S", "-c"]
# The modules that the verbs need, and what they need; a usual start of the interpreter has loaded all but ours already.
NEEDED = {
    "__future__", "_collections_abc", "_stat", "errno", "genericpath", "os", "os.path", "posixpath", "stat",
    "liveness", *(
        f"liveness.{module}"
        for module in ("declarations", "directory", "errors", "formats", "heartbeats", "holder", "jobs", "leases",
                       "life", "log", "membership", "names", "proc", "stacks", "unit")
    ),
}  # fmt: skip


def loaded_by(program: str) -> set[str]:
    text = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {program}; print(*sys.modules)"
    return set(subprocess.run([*BARE, text], capture_output=True, text=True, check=True).stdout.split())


def test_import_liveness_loads_nothing_that_the_verbs_do_not_need() -> None:
    assert loaded_by("import liveness") - loaded_by("pass") <= NEEDED


def test_the_verbs_after_load_load_nothing_more(rundir: Path) -> None:
    unit = f"unit = liveness.Unit('u', {str(rundir)!r})"
    before = loaded_by(f"import liveness; {unit}; unit.load([])")
    verbs = "unit.set(7, 'x'); unit.set_ready(); unit.beat(9); unit.reset()"
    after = loaded_by(f"import liveness; {unit}; unit.load([]); {verbs}")
    assert after - before == set()


def test_the_probe_loads_no_more_than_the_verbs_do() -> None:
    assert loaded_by("import liveness.probe") - loaded_by("pass") <= NEEDED | {"liveness.probe", "liveness.verdict"}
