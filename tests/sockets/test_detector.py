"""A move is seen at the tick that makes it, for the coin's own habits, and told once."""

from __future__ import annotations

from whalestack.config import Settings
from whalestack.db.market_store import LearnedThresholds
from whalestack.sockets.detector import Sighting, SpikeDetector, floors_of

MINUTE = 60_000
START = 1_760_875_200_000
NOW = START + 120 * MINUTE


def warm(detector: SpikeDetector, symbol: str = "AIAUSDT") -> None:
    """Two quiet hours: price 100, open interest 1,000, 50 USD a minute."""
    bars = [(START + minute * MINUTE, 100.0, 50.0) for minute in range(120)]
    interest = [(START + minute * MINUTE, 1000.0) for minute in range(0, 120, 5)]
    detector.warm_up(symbol, bars, interest)


def detector(settings: Settings) -> SpikeDetector:
    one = SpikeDetector(floors_of(settings), trigger_repeat_ms=30_000, refetch_repeat_ms=240_000)
    warm(one)
    return one


def spike(one: SpikeDetector, at_ms: int = NOW + MINUTE, price: float = 101.5) -> Sighting | None:
    """Twenty times the volume and 4 % more open interest, with the price at `price`."""
    one.on_bar("AIAUSDT", NOW, 1000.0)
    return one.on_tick("AIAUSDT", at_ms, price, 1040.0)


def test_a_quiet_tick_shows_nothing(settings: Settings) -> None:
    assert detector(settings).on_tick("AIAUSDT", NOW, 100.1, 1000.0) is None


def test_all_three_together_are_a_trigger_either_way(settings: Settings) -> None:
    """1.5 % in 5 minutes, 4 % of open interest, five minutes of volume at over 1.5 times the hour's."""
    for price in (101.5, 98.5):
        seen = spike(detector(settings), price=price)

        assert seen is not None
        assert seen.is_trigger


def test_volume_alone_is_a_spike_that_asks_for_a_refetch(settings: Settings) -> None:
    one = detector(settings)
    one.on_bar("AIAUSDT", NOW, 1000.0)

    seen = one.on_tick("AIAUSDT", NOW + MINUTE, 100.0, 1000.0)

    assert seen is not None
    assert (False, "spike") == (seen.is_trigger, seen.refetch_reason)


def test_a_fast_price_alone_is_a_mover(settings: Settings) -> None:
    seen = detector(settings).on_tick("AIAUSDT", NOW, 102.5, 1000.0)

    assert seen is not None
    assert (False, "mover") == (seen.is_trigger, seen.refetch_reason)


def test_a_fall_does_not_hide_the_rise_after_it(settings: Settings) -> None:
    """Told for one direction, a trigger is still to be told for the other."""
    one = detector(settings)
    fall = spike(one, price=98.5)
    rise = spike(one, NOW + MINUTE + 1000, price=101.5)

    assert fall is not None
    assert rise is not None
    assert (True, True) == (fall.is_trigger, rise.is_trigger)


def test_a_trigger_is_told_again_only_after_its_cool_down(settings: Settings) -> None:
    one = detector(settings)
    first = spike(one)

    assert spike(one, NOW + MINUTE + 10_000, 101.6) is None
    again = spike(one, NOW + MINUTE + 31_000, 101.6)

    assert first is not None
    assert again is not None
    assert (True, True) == (first.is_trigger, again.is_trigger)
    assert (False, True) == (first.goes_on, again.goes_on)
    assert ("spike", None) == (first.refetch_reason, again.refetch_reason)


def test_telling_anew_forgets_what_was_told(settings: Settings) -> None:
    one = detector(settings)
    first = spike(one)
    one.tell_anew()
    again = spike(one, NOW + MINUTE + 10_000, 101.6)

    assert first is not None
    assert again is not None
    assert (True, "spike") == (again.is_trigger, again.refetch_reason)


def test_what_is_ordinary_for_a_coin_is_no_trigger(settings: Settings) -> None:
    one = detector(settings)
    one.set_thresholds({"AIAUSDT": LearnedThresholds(5.0, 30.0, 2.0, 10.0, 10.0)})

    assert spike(one) is None


def test_learned_thresholds_never_lie_below_the_floors(settings: Settings) -> None:
    one = detector(settings)
    one.set_thresholds({"AIAUSDT": LearnedThresholds(0.001, 0.001, 0.001, 0.001, None)})

    assert one.on_tick("AIAUSDT", NOW, 100.1, 1001.0) is None


def test_a_held_coin_takes_its_history_before_its_ticks(settings: Settings) -> None:
    one = SpikeDetector(floors_of(settings))
    one.hold(["AIAUSDT"])
    assert one.on_tick("AIAUSDT", NOW, 100.0, 1000.0) is None

    warm(one)
    one.release("AIAUSDT")

    assert spike(one) is not None
