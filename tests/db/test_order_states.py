"""The database and the code agree on every move an order may make."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from whalestack.clock import ManualClock
from whalestack.db.engine import Database
from whalestack.db.models import Order
from whalestack.db.order_states import ALLOWED_MOVES, UNFINISHED, may_move


def an_order(clock: ManualClock, link_id: str, status: str = "intent") -> Order:
    return Order(
        order_link_id=link_id,
        agent_name="conservative-1",
        symbol="EVAAUSDT",
        leg="e0",
        side="Buy",
        order_type="Limit",
        time_in_force="GTC",
        price=Decimal("1.25"),
        qty=Decimal(10),
        stop_loss=Decimal("1.15"),
        status=status,
        created_at=clock.now(),
        updated_at=clock.now(),
    )


def database_allows(session: Session, link_id: str, status: str) -> bool:
    try:
        with session.begin_nested():
            session.execute(update(Order).where(Order.order_link_id == link_id).values(status=status))
    except IntegrityError:
        return False
    return True


def test_the_trigger_allows_exactly_the_moves_of_the_table(db: Database, clock: ManualClock) -> None:
    moves = list(product(ALLOWED_MOVES, repeat=2))
    with db.begin() as work:
        work.session.add_all(an_order(clock, f"{old}-{new}", old) for old, new in moves)
        work.session.flush()
        seen = {(old, new): database_allows(work.session, f"{old}-{new}", new) for old, new in moves}

    assert {(old, new): may_move(old, new) for old, new in moves} == seen


def test_a_refused_move_names_the_order_and_both_states(db: Database, clock: ManualClock) -> None:
    with db.begin() as work:
        work.session.add(an_order(clock, "c1-77-e0", "filled"))
    with (
        pytest.raises(IntegrityError, match="order c1-77-e0 may not go from filled to new"),
        db.begin() as work,
    ):
        work.session.execute(update(Order).values(status="new"))


def test_no_state_leads_back_to_an_order_that_could_be_sent_again() -> None:
    sendable = {"intent"}

    assert set() == {old for old, news in ALLOWED_MOVES.items() if news & sendable}


def test_unfinished_states_are_those_that_can_still_end_on_their_own() -> None:
    endings = {"filled", "cancelled", "rejected", "refused"}

    assert set(ALLOWED_MOVES) - endings == UNFINISHED


def test_an_entry_without_a_stop_cannot_be_stored(db: Database, clock: ManualClock) -> None:
    naked = an_order(clock, "c1-78-e0")
    naked.stop_loss = None
    with pytest.raises(IntegrityError, match="ck_orders_entry_has_stop"), db.begin() as work:
        work.session.add(naked)
