"""Grafana's files: every query runs on the migrated tables, and no key stands in a file.

No Grafana runs here. What is checked is what can be without one: the shape of the files
and the SQL, with Grafana's macros written out as it would write them.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from whalestack.clock import ManualClock
from whalestack.db.engine import Database
from whalestack.db.models import MarketTick, Trade

GRAFANA = Path(__file__).resolve().parents[2] / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "whalestack.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
DATASOURCE = (GRAFANA / "provisioning" / "datasources" / "whalestack.yml").read_text()
FROM, TO = "'2025-10-19T00:00:00Z'", "'2025-10-20T00:00:00Z'"

by_title = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])


def as_sql(query: str) -> str:
    """The query with the macros written out for one day."""
    query = re.sub(r"\$__timeFilter\(([^)]*)\)", rf"\1 BETWEEN {FROM} AND {TO}", query)
    query = re.sub(
        r"\$__timeGroupAlias\(([^,]*), '1m'\)",
        r'floor(extract(epoch from \1)/60)*60 AS "time"',
        query,
    )
    return query.replace("$__timeFrom()", FROM).replace("$__timeTo()", TO)


def escaped(query: str) -> str:
    """The query with the colons of its times kept from being read as parameters."""
    return re.sub(r"(?<!:):(?!:)", r"\\:", query)


@by_title
def test_a_panel_query_runs_on_the_tables(db: Database, panel: dict[str, Any]) -> None:
    (target,) = panel["targets"]
    query = as_sql(target["rawSql"])
    assert "$__" not in query
    with db.begin() as work:
        columns = list(work.session.execute(text(escaped(query))).keys())
    assert len(set(columns)) == len(columns)
    if target["format"] == "time_series":
        assert "time" == columns[0]


def test_an_open_short_shows_its_profit_and_the_way_to_its_stop(db: Database, clock: ManualClock) -> None:
    """Short from 2.0, now at 1.6: 20 % profit; to the stop price runs 2.0 / 1.6 - 1 = 25 %."""
    now = clock.now()
    with db.begin() as work:
        tick = MarketTick(symbol="AIAUSDT", ts=now, price=1.6)
        trade = Trade(
            agent_name="a",
            symbol="AIAUSDT",
            side="SHORT",
            entry_price=Decimal(2),
            qty=Decimal(10),
            open_qty=Decimal(10),
            stop_loss=Decimal(2),
            entry_time=now,
            mode="demo",
            updated_at=now,
        )
        work.session.add_all([tick, trade])
    (panel,) = [panel for panel in PANELS if (panel["title"], panel["type"]) == ("Open trades", "table")]
    with db.begin() as work:
        (row,) = work.session.execute(text(escaped(as_sql(panel["targets"][0]["rawSql"])))).mappings()
    assert (20, 25) == (pytest.approx(float(row["profit_pct"])), pytest.approx(float(row["to_stop_pct"])))


@by_title
def test_a_panel_says_what_it_shows_and_reads_the_one_datasource(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    used = {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])}
    assert {"whalestack"} == used
    assert "uid: whalestack\n" in DATASOURCE


@by_title
def test_units_are_given_to_columns_that_exist(panel: dict[str, Any]) -> None:
    (target,) = panel["targets"]
    for override in panel["fieldConfig"]["overrides"]:
        assert re.search(rf"\b{override['matcher']['options']}\b", target["rawSql"])


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert 24 == 1 + max(x for x, _ in taken)


def test_every_id_is_used_once() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert sorted(set(ids)) == sorted(ids)


def test_the_datasource_takes_every_secret_from_the_environment() -> None:
    values = dict(re.findall(r"^\s*(url|user|database|password|sslmode): (.*)$", DATASOURCE, re.MULTILINE))
    assert {"url", "user", "database", "password", "sslmode"} == set(values)
    assert all(re.fullmatch(r"(\$\{GRAFANA_DB_[A-Z]+\}:?)+", value) for value in values.values())
