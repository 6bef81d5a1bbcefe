"""
Draws what the benchmarks have measured, and puts the figures into README and manual.

    python bench/plot.py

Reads bench/*.json; writes doc/texinfo/liveness-cost.svg and .png, and what stands between the marks in the two texts.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DOC = HERE.parent / "doc" / "texinfo"
MANUAL = DOC / "liveness.texi"
README = HERE.parent / "README.md"

PROBES = (
    ("cat", "cat FILE, which asks no process"),
    ("dash -c :", "an empty shell (dash)"),
    ("health.sh", "health.sh"),
    ("bash -c :", "an empty shell (bash)"),
    ("cat, stat and date", "a script of cat, stat and date"),
    ("python -c pass", "an empty Python"),
    ("python -m liveness.probe", "python -m liveness.probe"),
)


def results(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text())
    return found


def spread(found: dict[str, float], digits: int = 2) -> str:
    return f"{found['median']:.{digits}f} ({found['p5']:.{digits}f} to {found['p95']:.{digits}f})"


def readme_text() -> str:
    """The paragraph of the README that quotes the figures."""
    probe = results("probe")
    cpu = {name: found["median"] for name, found in probe["cpu, ms"].items()}
    return (
        f"One run of health.sh takes {cpu['health.sh']:.1f} ms of CPU, a script of cat, stat and date "
        f"{cpu['cat, stat and date']:.1f} ms, a Python\nthat does nothing at all {cpu['python -c pass']:.0f} ms "
        f"(medians of {probe['rounds']} interleaved runs, {probe['date']}; run `make bench` to measure again).\n"
    )


def manual_text() -> str:
    """The tables of the manual."""
    probe, verbs = results("probe"), results("verbs")
    lines = ["@multitable @columnfractions .4 .3 .3", "@headitem one run of @tab CPU, ms @tab wall time, ms"]
    lines += [
        f"@item @code{{{name}}} @tab {spread(found)} @tab {spread(probe['wall, ms'][name])}"
        for name, found in probe["cpu, ms"].items()
    ]
    lines += ["@end multitable", "", "@multitable @columnfractions .6 .4", "@headitem in the same round @tab times"]
    lines += [
        f"@item @code{{{name}}} @tab {spread(found)}"
        for name, found in [*probe["cpu, times"].items(), *verbs["times"].items()]
    ]
    lines += ["@end multitable", "", "@multitable @columnfractions .6 .4", "@headitem what @tab microseconds"]
    lines += [f"@item a further heartbeat, in dash @tab {spread(probe['a further heartbeat, us'], 0)}"]
    lines += [f"@item @code{{{name}}}, one call @tab {spread(found)}" for name, found in verbs["call, us"].items()]
    imported = {key: value * 1000 for key, value in probe["import liveness, ms"].items()}
    lines += [f"@item @code{{import liveness}}, CPU @tab {spread(imported, 0)}", "@end multitable", ""]
    machine = probe["machine"]
    lines += [
        f"Measured on {probe['date']}: {machine['cpu']}, {machine['cores']} cores, Linux "
        f"{re.split('-', str(machine['kernel']))[0]}, Python {machine['python']}, dash {machine['dash']}, bash "
        f"{machine['bash'].partition('(')[0]}, {probe['rounds']} rounds."
    ]
    return "\n".join(lines) + "\n"


def wall_and_cpu(head: str, walls: dict[str, Any], cpus: dict[str, Any], form: str) -> str:
    """A table of both, a row for each candidate."""
    rows = [f"@item {form.format(name)} @tab {spread(walls[name], 1)} @tab {spread(cpus[name], 1)}" for name in walls]
    return "\n".join(["@multitable @columnfractions .4 .3 .3", head, *rows, "@end multitable"]) + "\n"


def checks_text() -> str:
    """The table of the node Checks."""
    checks = results("checks")
    hour = checks["a monitor that runs every 10 s, cpu seconds an hour"]
    head = "@headitem 100 checks of 10 ms @tab wall time, ms @tab CPU, ms"
    return (
        wall_and_cpu(head, checks["wall, ms"], checks["cpu, ms"], "{}")
        + f"\nA Monitor that runs one check every ten seconds takes {spread(hour)} seconds of CPU in an hour.\n"
    )


def django_text() -> str:
    """The tables of the node Django."""
    django = results("of_django")
    asked, times = django["request, us"], django["times"]
    head = "@headitem one request @tab liveness, microseconds @tab django-kubernetes @tab times"
    lines = ["@multitable @columnfractions .25 .3 .3 .15", head]
    for what in (name.removesuffix(", liveness") for name in asked if name.endswith(", liveness")):
        ours, theirs = (spread(asked[f"{what}, {package}"], 0) for package in ("liveness", "django-kubernetes"))
        lines.append(f"@item {what} @tab {ours} @tab {theirs} @tab {times[what]['median']:.2f}")
    lines += ["@end multitable", "", ""]
    head = "@headitem one exec probe @tab wall time, ms @tab CPU, ms"
    return "\n".join(lines) + wall_and_cpu(head, django["wall, ms"], django["cpu, ms"], "{}")


def node_text() -> str:
    """The table of the node Deploying on Kubernetes."""
    node = results("exec_sync")
    head = "@headitem one probe @tab wall time, ms @tab CPU of the node, ms"
    return wall_and_cpu(head, node["wall, ms"], node["node's cpu, ms"], "@code{{{}}}")


def middlewares_text() -> str:
    """The table of the node Probes by HTTP."""
    found = results("middlewares")
    lines = ["@multitable @columnfractions .6 .4", "@headitem one request, without a server @tab microseconds"]
    lines += [f"@item {name}, added @tab {spread(values)}" for name, values in found["added, us"].items()]
    lines += [
        f"@item {name} @tab {spread(values, 0)}" for name, values in found["request, us"].items() if "/livez" in name
    ]
    return "\n".join([*lines, "@end multitable"]) + "\n"


def flask_text() -> str:
    """The tables of the node Flask."""
    flask = results("of_flask")
    lines = ["@multitable @columnfractions .6 .4", "@headitem one request, without a server @tab microseconds"]
    lines += [f"@item {name} @tab {spread(found, 1)}" for name, found in flask["request, us"].items()]
    lines += ["@end multitable", "", "@multitable @columnfractions .6 .4"]
    lines += ["@headitem three dependencies of 100 ms each @tab milliseconds"]
    healths = flask["three dependencies of 100 ms, ms"]
    lines += [f"@item {name} @tab {spread(found, 1)}" for name, found in healths.items()]
    return "\n".join([*lines, "@end multitable"]) + "\n"


def put(file: Path, begin: str, end: str, text: str) -> None:
    before, mark, rest = file.read_text().partition(begin + "\n")
    _, other, after = rest.partition(end + "\n")
    if not mark or not other:
        raise SystemExit(f"{file}: has no {begin!r} with {end!r} after it")
    file.write_text(before + mark + text + other + after)


def draw() -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    # A ground of its own: the page behind it may be light or dark.
    ink, paper, ours, others = "#24292f", "#fbfbf9", "#1a7f5a", "#a9b2bc"
    pyplot.rcParams.update({"svg.hashsalt": "liveness", "font.size": 11, "svg.fonttype": "path", "text.color": ink})
    cpu = results("probe")["cpu, ms"]
    names = [name for name, _ in PROBES][::-1]
    middles = [cpu[name]["median"] for name in names]
    errors = [
        [cpu[name]["median"] - cpu[name]["p5"] for name in names],
        [cpu[name]["p95"] - cpu[name]["median"] for name in names],
    ]
    figure, axes = pyplot.subplots(figsize=(8, 3.4), facecolor=paper)
    axes.set_facecolor(paper)
    colors = [ours if "health.sh" in name or "liveness" in name else others for name in names]
    axes.barh(range(len(names)), middles, xerr=errors, color=colors, height=0.62, ecolor=ink, capsize=2,
              error_kw={"linewidth": 0.9})  # fmt: skip
    for place, name in enumerate(names):
        axes.text(cpu[name]["p95"] + 0.25, place, f"{cpu[name]['median']:.2f}", va="center", color=ink)
    axes.set_yticks(range(len(names)), [dict(PROBES)[name] for name in names], color=ink)
    axes.set_xlabel("CPU of one run in milliseconds: median, 5th to 95th percentile", color=ink)
    axes.set_xlim(0, max(cpu[name]["p95"] for name in names) * 1.1)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", colors=ink)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(ink)
    figure.tight_layout()
    figure.savefig(DOC / "liveness-cost.svg", facecolor=paper, metadata={"Date": None})
    figure.savefig(DOC / "liveness-cost.png", facecolor=paper, dpi=110)


def main() -> None:
    draw()
    put(README, "<!-- bench: begin -->", "<!-- bench: end -->", readme_text())
    put(MANUAL, "@c bench: begin", "@c bench: end", manual_text())
    put(MANUAL, "@c bench-checks: begin", "@c bench-checks: end", checks_text())
    put(MANUAL, "@c bench-flask: begin", "@c bench-flask: end", flask_text())
    put(MANUAL, "@c bench-django: begin", "@c bench-django: end", django_text())
    put(MANUAL, "@c bench-middlewares: begin", "@c bench-middlewares: end", middlewares_text())
    put(MANUAL, "@c bench-e2e: begin", "@c bench-e2e: end", node_text())
    print(f"{DOC}/liveness-cost.svg, .png, README.md, {MANUAL.name}: written")


if __name__ == "__main__":
    main()
