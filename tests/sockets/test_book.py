"""The book merges what the streams say and never loses what could not be written."""

from __future__ import annotations

from typing import Any

from whalestack.db.live import LiveTick, PriceWatch, SeenPrice
from whalestack.db.market_store import BarRow
from whalestack.sockets.book import MarketBook
from whalestack.sockets.frames import TickerFields
from whalestack.sockets.watching import WatchBoard

MINUTE = 60_000


def bar(start_ms: int, close: float, *, is_closed: bool = False, symbol: str = "AIAUSDT") -> BarRow:
    return BarRow(symbol, "1", start_ms, 1.0, 2.0, 0.5, close, 10.0, 15.0, is_closed=is_closed)


def book_with(*messages: tuple[int, dict[str, Any]]) -> MarketBook:
    book = MarketBook()
    for ts_ms, fields in messages:
        book.apply_ticker("AIAUSDT", ts_ms, TickerFields(**fields))
    return book


def test_a_field_that_is_absent_has_not_changed() -> None:
    book = book_with(
        (1, {"last": "1.5", "open_interest": "70", "funding_rate": "-0.005", "bid": "1.4"}),
        (2, {"bid": "1.45"}),
    )

    expected = LiveTick("AIAUSDT", 2, 1.5, bid=1.45, open_interest=70.0, funding_rate_pct=-0.5)
    assert expected == book.tick("AIAUSDT")


def test_a_change_before_the_snapshot_waits_for_the_price() -> None:
    """pybit raises there and closes the socket."""
    book = book_with((1, {"open_interest": "70"}))

    assert book.tick("AIAUSDT") is None
    assert [] == book.take_changed()

    change = book.apply_ticker("AIAUSDT", 2, TickerFields(last="1.5"))

    assert change is not None
    assert (1.5, 70.0) == (change.price, change.open_interest)


def test_a_message_that_was_overtaken_is_left_out() -> None:
    book = book_with((5, {"last": "1.5"}))

    assert book.apply_ticker("AIAUSDT", 4, TickerFields(last="9")) is None
    tick = book.tick("AIAUSDT")
    assert tick is not None
    assert 1.5 == tick.last


def test_a_snapshot_from_long_before_heals_a_wrong_time() -> None:
    book = book_with((10**15, {"last": "1.5"}))

    assert book.apply_ticker("AIAUSDT", 1_000_000, TickerFields(last="2")) is None
    change = book.apply_ticker("AIAUSDT", 1_000_000, TickerFields(last="2"), is_snapshot=True)

    assert change is not None
    assert 2.0 == change.price


def test_the_same_message_twice_is_no_change() -> None:
    book = book_with((5, {"last": "1.5"}))

    assert book.apply_ticker("AIAUSDT", 5, TickerFields(last="1.5")) is None


def test_only_what_changed_is_shown_and_a_failed_write_is_shown_again() -> None:
    book = book_with((5, {"last": "1.5"}))
    assert ["AIAUSDT"] == [tick.symbol for tick in book.take_changed()]
    assert [] == book.take_changed()

    book.mark_changed(["AIAUSDT"])

    assert ["AIAUSDT"] == [tick.symbol for tick in book.take_changed()]


def test_ticks_are_thinned_for_the_database() -> None:
    book = MarketBook(tick_spacing_ms=10_000)
    for second in range(25):
        book.apply_ticker("AIAUSDT", 1_000_000 + second * 1000, TickerFields(last=str(1 + second)))

    assert [1_000_000, 1_010_000, 1_020_000] == [tick.ts_ms for tick in book.take_rows().ticks]


def test_a_coin_that_is_kept_is_written_up_to_its_latest_tick_and_open_bar() -> None:
    book = MarketBook(tick_spacing_ms=10_000, open_bar_spacing_ms=20_000)
    book.apply_ticker("AIAUSDT", 1_000_000, TickerFields(last="1"))
    book.apply_bar(bar(960_000, 1.0))
    book.take_rows()
    book.apply_ticker("AIAUSDT", 1_000_500, TickerFields(last="2"))
    book.apply_bar(bar(960_000, 2.0))
    assert 0 == len(book.take_rows())

    book.keep("AIAUSDT")

    rows = book.take_rows()
    assert ([1_000_500], [2.0]) == ([tick.ts_ms for tick in rows.ticks], [one.close for one in rows.bars])


def test_a_closed_bar_is_written_at_once_with_the_open_interest_of_its_end() -> None:
    book = book_with((MINUTE, {"last": "1", "open_interest": "70"}))
    book.apply_bar(bar(0, 1.0))
    book.apply_bar(bar(0, 1.2, is_closed=True))

    (row,) = book.take_rows().bars

    assert (1.2, 70.0, True) == (row.close, row.open_interest, row.is_closed)


def test_a_late_message_of_an_open_bar_does_not_undo_its_close() -> None:
    book = MarketBook()
    book.apply_bar(bar(MINUTE, 1.2, is_closed=True))

    assert not book.apply_bar(bar(MINUTE, 1.1))
    assert [1.2] == [one.close for one in book.take_rows().bars]


def test_rows_that_could_not_be_written_wait_and_newer_ones_win() -> None:
    book = book_with((MINUTE, {"last": "1"}))
    book.apply_bar(bar(MINUTE, 1.1))
    rows = book.take_rows()
    assert (1, 1) == (len(rows.ticks), len(rows.bars))

    book.apply_bar(bar(MINUTE, 1.3, is_closed=True))
    book.put_back(rows)

    again = book.take_rows()
    assert (1, [1.3]) == (len(again.ticks), [one.close for one in again.bars])


def test_a_reached_watch_is_told_at_once_and_again_in_growing_pauses_until_it_moves() -> None:
    """With the best price since, which may be over: the first job may have been lost, or have failed."""
    now = [0.0]
    board = WatchBoard(repeat_s=1.0, now_s=lambda: now[0])
    board.update({"AIAUSDT": PriceWatch(above=2.0)})

    told = []
    for second, price in enumerate((1.9, 2.0, 2.1, 1.8, 1.7, 1.7, 1.7, 1.7, 1.7)):
        now[0] = float(second)
        told.append(board.look("AIAUSDT", price, second))
    best = SeenPrice(2.1, 2)
    assert [None, SeenPrice(2.0, 1), best, None, best, None, None, None, best] == told

    board.update({"AIAUSDT": PriceWatch(above=2.05, below=1.5)})
    assert board.look("AIAUSDT", 1.7, 20) is None
    assert board.look("AIAUSDT", 2.1, 21) == SeenPrice(2.1, 21)
    board.update({})
    assert board.look("AIAUSDT", 2.1, 22) is None
    assert board.look("BIOUSDT", 2.1, 22) is None


def test_a_short_is_told_the_lowest_price_beyond_its_watch() -> None:
    now = [0.0]
    board = WatchBoard(repeat_s=1.0, now_s=lambda: now[0])
    board.update({"AIAUSDT": PriceWatch(below=1.0)})
    for second, price in enumerate((0.95, 0.9, 0.97)):
        board.look("AIAUSDT", price, second)
    now[0] = 1.0
    assert board.look("AIAUSDT", 1.2, 3) == SeenPrice(0.9, 1)
