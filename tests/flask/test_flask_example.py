"""The shop of examples/flask is a whole application, and its manifest asks what it answers."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from manifests import PROBES, complaints, spec_of, unexplained_numbers
from peers import UP, Peer
from stage import ROOT, until
from web import Server

HOME = ROOT / "examples" / "flask"
MANIFEST = HOME / "shop.yaml"
CONTAINER = spec_of(MANIFEST)["containers"][0]


class Shop(NamedTuple):
    server: Server
    database: Path
    users: Peer
    stock: Peer

    def passes(self, probe: str) -> bool:
        """As the manifest asks it."""
        asked = CONTAINER[probe]["httpGet"]
        assert asked["port"] == CONTAINER["ports"][0]["name"]
        return 200 <= self.server.get(asked["path"], timeout=20).status < 400


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    database = tmp_path / "shop.db"
    environment = {entry["name"]: entry["value"] for entry in CONTAINER["env"]}
    with Peer(UP) as users, Peer(UP) as stock:
        environment["DATABASE"] = environment["DATABASE"].replace("/data", str(tmp_path))
        environment["USERS"] = environment["USERS"].replace("users:8000", users.address)
        environment["STOCK"] = environment["STOCK"].replace("stock:8080", stock.address)
        port = f"0.0.0.0:{CONTAINER['ports'][0]['containerPort']}"
        command = [part.replace(port, "127.0.0.1:{port}").replace("/app", str(HOME)) for part in CONTAINER["command"]]
        assert command[0] == "gunicorn"
        with Server(tmp_path, command=["-m", *command], environment=environment, started="/orders") as server:
            yield Shop(server, database, users, stock)


def test_it_sells_and_passes_all_three_probes(shop: Shop) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert shop.server.get("/orders", method="POST", body="item=tea", headers=headers).status == 201
    assert shop.server.get("/orders").json() == ["tea"]
    assert [shop.passes(probe) for probe in PROBES] == [True, True, True]
    assert shop.server.get("/z/health").json() == {
        "components": {"users": {"status": "UP"}, "stock": {"status": "UP"}, "database": {"status": "UP"}},
        "status": "UP",
    }
    assert shop.users.requests[0].startswith("get /z/health ")
    assert shop.stock.requests[0].startswith("get /actuator/health ")


def test_without_its_database_it_is_alive_and_not_ready(shop: Shop) -> None:
    shop.database.unlink()
    assert [shop.passes(probe) for probe in PROBES] == [True, True, False]
    assert not shop.database.exists()
    until(lambda: "check 'readiness database' failed" in shop.server.log.read_text())


def test_without_another_service_it_is_ready_and_says_so_in_health(shop: Shop) -> None:
    shop.users.end()
    assert [shop.passes(probe) for probe in PROBES] == [True, True, True]
    answer = shop.server.get("/z/health")
    assert (answer.status, answer.json()["components"]["users"]) == (503, {"status": "DOWN"})


def test_its_log_has_no_probes(shop: Shop) -> None:
    for probe in PROBES:
        shop.passes(probe)
    shop.server.get("/orders?the-last")
    until(lambda: "the-last" in shop.server.log.read_text())
    assert "/z/health/" not in shop.server.log.read_text()


def test_its_manifest_is_valid_and_explained() -> None:
    assert complaints([MANIFEST]) == ""
    assert unexplained_numbers(MANIFEST) == []


def test_a_probe_waits_longer_than_the_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HOME))
    monkeypatch.setenv("DATABASE", str(tmp_path / "shop.db"))
    app: Any = importlib.import_module("shop").create_app()
    del sys.modules["shop"]
    for probe in PROBES:
        assert app.config["BACKEND_TIMEOUT"] < CONTAINER[probe]["timeoutSeconds"]


def test_the_command_in_its_head_is_that_of_the_manifest() -> None:
    (shown,) = re.findall(r"'(shop:.*)'", (HOME / "shop.py").read_text().partition('"""\n\n')[0])
    assert CONTAINER["command"][-1] == shown
