"""A "no" that is part of the ordinary way of things, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """Why a calculation has no result that may be used.

    Args:
        code: fixed snake_case word; counts and tests go by it.
        text: one clause for people, with the figures that decided.
    """

    code: str
    text: str
