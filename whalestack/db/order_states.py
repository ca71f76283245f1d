"""Which moves an order may make: one table for the code and for the database's trigger.

An intent is committed before it is sent. From the send on its outcome may be unknown, and
unknown is left only for what the exchange said when asked. Filled, cancelled, rejected and
refused are final, with one exception that exchanges force on us: a cancel and a fill can
cross, so what was learnt as cancelled may still turn out to have been filled.
"""

from __future__ import annotations

from typing import Final

ALLOWED_MOVES: Final[dict[str, frozenset[str]]] = {
    # never sent: it may be sent, or dropped for good
    "intent": frozenset({"sent", "refused"}),
    "sent": frozenset({"unknown", "new", "partially_filled", "filled", "cancelled", "rejected"}),
    "unknown": frozenset({"new", "partially_filled", "filled", "cancelled", "rejected"}),
    "new": frozenset({"partially_filled", "filled", "cancelled", "rejected"}),
    "partially_filled": frozenset({"filled", "cancelled"}),
    "cancelled": frozenset({"filled"}),
    "filled": frozenset(),
    "rejected": frozenset(),
    "refused": frozenset(),
}
UNFINISHED: Final = frozenset({"intent", "sent", "unknown", "new", "partially_filled"})


def may_move(old: str, new: str) -> bool:
    """Whether an order may go from `old` to `new`; staying where it is always may."""
    return old == new or new in ALLOWED_MOVES[old]


def create_guard_sql() -> tuple[str, ...]:
    """The statements that make the database refuse every other move.

    Returns:
        A function and its trigger on `orders`. A refused move raises SQLSTATE 23514
        (check_violation), which SQLAlchemy reports as IntegrityError.
    """
    pairs = sorted((old, new) for old, news in ALLOWED_MOVES.items() for new in news)
    allowed = ", ".join(f"('{old}', '{new}')" for old, new in pairs)
    return (
        f"""
        create function guard_order_state() returns trigger language plpgsql as $guard$
        begin
            if new.status = old.status or (old.status, new.status) in ({allowed}) then
                return new;
            end if;
            raise exception 'order % may not go from % to %', old.order_link_id, old.status, new.status
                using errcode = 'check_violation';
        end
        $guard$
        """,
        """
        create trigger guard_order_state before update of status on orders
        for each row execute function guard_order_state()
        """,
    )


def drop_guard_sql() -> tuple[str, ...]:
    """The statements that take the guard away."""
    return ("drop trigger guard_order_state on orders", "drop function guard_order_state()")
