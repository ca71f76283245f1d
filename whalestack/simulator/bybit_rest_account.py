"""Positions and account of the simulated Bybit."""

from __future__ import annotations

from typing import Any

from whalestack.simulator.bybit_rest_auth import ApiKey
from whalestack.simulator.bybit_rest_params import (
    Params,
    check_linear,
    check_one_way,
    choice_of,
    number_of,
    page_of,
    protection_of,
    text_of,
    time_window,
    whole_of,
)
from whalestack.simulator.exchange.account import MarginMode
from whalestack.simulator.exchange.engine import Exchange
from whalestack.simulator.exchange.position import Position
from whalestack.simulator.exchange.refusals import POSITION_MODE_NOT_MODIFIED, Refused, bad_parameter
from whalestack.simulator.exchange.wire import closed_pnl_row, position_row, text, wallet_row

Row = dict[str, Any]


class AccountApi:
    """Answers of the position, account and user endpoints."""

    def __init__(self, exchange: Exchange, key: ApiKey, symbols: list[str]) -> None:
        self._exchange = exchange
        self._state = exchange.state
        self._key = key
        self._symbols = symbols

    def positions(self, params: Params) -> Row:
        """GET /v5/position/list: by symbol also an empty row; by settleCoin only what is held."""
        check_linear(params)
        symbol = text_of(params, "symbol", "")
        if symbol:
            self._state.rules(symbol)
            held = [self._state.position(symbol)]
        elif text_of(params, "settleCoin", ""):
            held = self._state.open_positions()
        else:
            raise bad_parameter("params error: symbol or settleCoin is required")
        page, cursor = page_of(held, params, lambda position: position.symbol, limit=20, largest=200)
        rows = [self._position(position) for position in page]
        return {"category": "linear", "list": rows, "nextPageCursor": cursor}

    def set_leverage(self, params: Params) -> Row:
        """POST /v5/position/set-leverage: both sides alike in one-way mode."""
        check_linear(params)
        buy, sell = number_of(params, "buyLeverage"), number_of(params, "sellLeverage")
        if buy is None or sell is None or buy != sell:
            raise bad_parameter("params error: buyLeverage and sellLeverage must be given and equal")
        self._exchange.set_leverage(text_of(params, "symbol"), buy)
        return {}

    def trading_stop(self, params: Params) -> Row:
        """POST /v5/position/trading-stop: sets, moves or ("0") removes stop and target in place."""
        check_linear(params)
        text_of(params, "tpslMode")
        if "positionIdx" not in params:
            raise bad_parameter("params error: positionIdx is required")
        check_one_way(params)
        symbol = text_of(params, "symbol")
        self._state.rules(symbol)
        held = self._state.position(symbol).protection
        self._exchange.set_stops(symbol, protection_of(params, held))
        return {}

    def switch_mode(self, params: Params) -> Row:
        """POST /v5/position/switch-mode: the account stays in one-way mode."""
        check_linear(params)
        if whole_of(params, "mode", 0, 0, 3) == 0:
            raise Refused(POSITION_MODE_NOT_MODIFIED, "Position mode is not modified")
        raise bad_parameter("params error: the simulator knows one-way mode only")

    def closed_pnl(self, params: Params) -> Row:
        """GET /v5/position/closed-pnl: one row for each order that closed something, newest first."""
        check_linear(params)
        start, end = time_window(params, self._state.now_ms())
        symbol = text_of(params, "symbol", "")
        rows = [
            closed
            for closed in self._state.closed_pnl.values()
            if start <= closed.updated_ms <= end and symbol in ("", closed.order.symbol)
        ]
        rows.sort(key=lambda closed: closed.updated_ms, reverse=True)
        page, cursor = page_of(rows, params, lambda closed: closed.order.order_id, limit=50, largest=100)
        return {
            "category": "linear",
            "list": [closed_pnl_row(closed) for closed in page],
            "nextPageCursor": cursor,
        }

    def wallet(self, params: Params) -> Row:
        """GET /v5/account/wallet-balance of the unified account."""
        if text_of(params, "accountType") != "UNIFIED":
            raise bad_parameter("params error: accountType only support UNIFIED")
        return {"list": [wallet_row(self._exchange.margin(), self._state.account.realised_ever)]}

    def fee_rate(self, params: Params) -> Row:
        """GET /v5/account/fee-rate: the same for every coin."""
        check_linear(params)
        symbol = text_of(params, "symbol", "")
        if symbol:
            self._state.rules(symbol)
        fees = self._state.fees
        rates = {"takerFeeRate": text(fees.taker), "makerFeeRate": text(fees.maker)}
        return {"list": [{"symbol": name, **rates} for name in ([symbol] if symbol else self._symbols)]}

    def account_info(self, params: Params) -> Row:
        """GET /v5/account/info."""
        account = self._state.account
        return {
            "marginMode": account.mode.value,
            "updatedTime": str(account.mode_changed_ms),
            "unifiedMarginStatus": 5,
            "dcpStatus": "OFF",
            "timeWindow": 10,
            "smpGroup": 0,
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
        }

    def set_margin_mode(self, params: Params) -> Row:
        """POST /v5/account/set-margin-mode: cross or isolated."""
        self._exchange.set_margin_mode(choice_of(params, "setMarginMode", MarginMode))
        return {"reasons": []}

    def key_information(self, params: Params) -> Row:
        """GET /v5/user/query-api: this key may trade and nothing else; it can't withdraw."""
        return {
            "id": "1",
            "note": "simulator",
            "apiKey": self._key.key,
            "readOnly": 0,
            "secret": "",
            "permissions": {
                "ContractTrade": ["Order", "Position"],
                "Derivatives": ["DerivativesTrade"],
                "Spot": [],
                "Wallet": [],
                "Options": [],
                "CopyTrading": [],
                "BlockTrade": [],
                "Exchange": [],
                "NFT": [],
                "Affiliate": [],
            },
            "ips": ["*"],
            "type": 1,
            "unified": 0,
            "uta": 1,
            "userID": 1,
            "isMaster": True,
        }

    def _position(self, position: Position) -> Row:
        state = self._state
        marked, price = state.marked(position), state.liquidation_price(position)
        return position_row(marked, price, state.bankruptcy_price(position))
