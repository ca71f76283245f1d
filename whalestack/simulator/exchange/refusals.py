"""What the exchange says no with: Bybit's codes and the words that were seen beside them."""

from __future__ import annotations

from decimal import Decimal

PARAMETER_ERROR = 10001
OUTSIDE_TIME_WINDOW = 10002
KEY_INVALID = 10003
SIGNATURE_WRONG = 10004
TOO_MANY_VISITS = 10006
ROUTE_NOT_FOUND = 10017
ORDER_NOT_FOUND = 110001
PRICE_OUT_OF_RANGE = 110003
BALANCE_TOO_LOW = 110007
ORDER_FINISHED = 110008
TOO_MANY_STOP_ORDERS = 110009
LEVERAGE_TOO_HIGH = 110013
REDUCE_ONLY_EMPTY = 110017
TOO_MANY_ORDERS = 110020
POSITION_MODE_NOT_MODIFIED = 110025
MARGIN_MODE_NOT_MODIFIED = 110026
LEVERAGE_NOT_MODIFIED = 110043
MARGIN_TOO_LOW = 110044
DUPLICATE_LINK_ID = 110072
NOT_LIVE = 110074
RISK_LIMIT_EXCEEDED = 110090
TRIGGER_NOT_ABOVE = 110092
TRIGGER_NOT_BELOW = 110093
NOTIONAL_TOO_LOW = 110094
NOT_MODIFIED = 34040


class Refused(Exception):
    """A request that the exchange does not take; nothing has changed.

    Args:
        code: Bybit's retCode.
        text: its retMsg. Clients must branch on the code.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


def bad_parameter(text: str) -> Refused:
    """10001 with its reason."""
    return Refused(PARAMETER_ERROR, text)


def scaled(value: Decimal) -> str:
    """A number as Bybit prints it inside refusals: times 1e8, as an integer."""
    return format((value * 100_000_000).to_integral_value(), "f")
