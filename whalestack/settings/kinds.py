"""The kinds of value that several groups of settings share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode


class Mode(StrEnum):
    """Where market data comes from and where orders go."""

    DEMO = "demo"
    PAPER = "paper"
    TESTNET = "testnet"
    BYBIT_DEMO = "bybit-demo"
    LIVE = "live"


class HeatmapSource(StrEnum):
    """Who computes the heat maps."""

    COINGLASS = "coinglass"
    MODEL = "model"


def split_commas(text: str) -> tuple[str, ...]:
    """The parts of a list as `.env` holds it, without blanks."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _symbols(value: object) -> object:
    return split_commas(value.upper()) if isinstance(value, str) else value


def _kinds(value: object) -> object:
    return split_commas(value.lower()) if isinstance(value, str) else value


Percent = Annotated[float, Field(ge=0, le=100)]
SymbolList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_symbols)]
MessageKind = Literal["signal", "entry", "stop_moved", "close", "refusal", "alert"]
KindList = Annotated[tuple[MessageKind, ...], NoDecode, BeforeValidator(_kinds)]
