"""No bad input crashes the gate: every request gets an envelope or an HTTP refusal."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulator.bybit_loopback import KEY, loopback
from whalestack.simulator.bybit_rest import BybitRest, Call, Reply
from whalestack.simulator.bybit_rest_limits import BybitLimits

NAMES = [
    *("symbol", "side", "orderType", "qty", "price", "stopLoss", "takeProfit", "orderLinkId", "orderId"),
    *("reduceOnly", "positionIdx", "tpslMode", "limit", "cursor", "startTime", "endTime", "interval"),
    *("intervalTime", "period", "buyLeverage", "sellLeverage", "settleCoin", "openOnly", "request", "mode"),
    *("triggerPrice", "triggerDirection", "accountType", "setMarginMode", "orderFilter", "start", "end"),
]
TEXTS = st.sampled_from(
    [
        *(
            "AAAUSDT",
            "Buy",
            "Sell",
            "Limit",
            "Market",
            "1",
            "98",
            "0",
            "-1",
            "1e40",
            "1e-40",
            "NaN",
            "Infinity",
        ),
        *(
            "lasttime%3Dx",
            "page_token%3D",
            "5",
            "1h",
            "5min",
            "UNIFIED",
            "USDT",
            "Full",
            "Partial",
            "",
            "\x00é",
        ),
        *("ISOLATED_MARGIN", "100.005", "50.001", "Order", "99999999999999999999"),
    ]
)
VALUES = TEXTS | st.text(max_size=8) | st.integers() | st.booleans() | st.none() | st.floats()
MEMBERS = st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6))
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES | MEMBERS, max_size=9)
SENSIBLE = {
    "symbol": "AAAUSDT",
    "side": "Buy",
    "orderType": "Limit",
    "qty": "1",
    "price": "98",
    "stopLoss": "95",
    "interval": "5",
    "intervalTime": "5min",
    "period": "1h",
    "accountType": "UNIFIED",
    "tpslMode": "Full",
    "buyLeverage": "5",
    "sellLeverage": "5",
    "positionIdx": 0,
    "setMarginMode": "REGULAR_MARGIN",
}


class Asker:
    """Signs requests for a gate whose limits are out of the way."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        limits = BybitLimits(ip_requests=10**9)
        self.gate = BybitRest(loopback().world, limits, real_ms=lambda: self.now_ms)

    def ask(self, method: str, path: str, *, query: str = "", body: str = "") -> Reply:
        self.now_ms += 1100
        headers = {"X-BAPI-API-KEY": KEY, "X-BAPI-TIMESTAMP": str(self.now_ms)}
        headers["X-BAPI-SIGN"] = self.gate.key.sign(f"{self.now_ms}{KEY}5000{query or body}")
        return self.gate.answer(Call(method, path, query, body, headers))


ASKER = Asker()


@pytest.mark.parametrize(("method", "path"), sorted(ASKER.gate.table))
@settings(max_examples=60, deadline=None)
@given(params=BODIES, category=st.sampled_from(["linear", "spot", None]))
def test_any_parameters_get_an_envelope(
    method: str, path: str, params: dict[str, Any], category: str | None
) -> None:
    asked = {"category": category, **params}
    if method == "GET":
        texts = (
            f"{name}={str(value).replace('&', '')}" for name, value in asked.items() if value is not None
        )
        reply = ASKER.ask(method, path, query="&".join(texts))
    else:
        reply = ASKER.ask(method, path, body=json.dumps(asked))
    assert 200 == reply.status
    envelope = orjson.loads(reply.body)
    assert {"retCode", "retMsg", "result", "retExtInfo", "time"} == set(envelope)


@pytest.mark.parametrize("body", ["", "[]", "{", "null", "1", '"x"', "\x00", "{}" * 2])
def test_a_body_that_is_no_object_is_a_parameter_error(body: str) -> None:
    reply = orjson.loads(ASKER.ask("POST", "/v5/order/create", body=body).body)
    assert 10001 == reply["retCode"]


def test_a_request_without_signature_headers_is_refused() -> None:
    reply = ASKER.gate.answer(Call("GET", "/v5/position/list", "category=linear"))
    assert 10001 == orjson.loads(reply.body)["retCode"]
