"""The public streams of all coins, spread over as many connections as they need."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

from whalestack.sockets.keeper import KeeperTimes, StreamKeeper
from whalestack.sockets.links import (
    MOST_ARGUMENT_CHARACTERS,
    BybitLink,
    LinkLost,
    argument_characters,
    chunked,
    topics_of,
)
from whalestack.sockets.public_feed import PublicFeed

log = structlog.get_logger()

AfterOpen = Callable[[Sequence[str], float | None], None]


class _Connection:
    """The coins of one connection and the keeper of its link."""

    def __init__(
        self,
        name: str,
        url: str,
        symbols: Sequence[str],
        feed: PublicFeed,
        after_open: AfterOpen,
        times: KeeperTimes,
    ) -> None:
        self._url = url
        self._feed = feed
        self._lock = threading.Lock()
        self._symbols = list(symbols)
        self.keeper = StreamKeeper(
            name,
            self._make_link,
            before_open=lambda: feed.detector.hold(self.symbols),
            after_open=lambda missed_s: after_open(self.symbols, missed_s),
            times=times,
        )

    @property
    def symbols(self) -> list[str]:
        with self._lock:
            return list(self._symbols)

    @property
    def room(self) -> int:
        return MOST_ARGUMENT_CHARACTERS - sum(argument_characters(symbol) for symbol in self.symbols)

    def add(self, symbol: str) -> None:
        """Follow one more coin, on the open link as well."""
        with self._lock:
            self._symbols.append(symbol)
        self._tell(lambda link: link.subscribe(topics_of(symbol)))

    def remove(self, symbol: str) -> None:
        """Follow a coin no longer."""
        with self._lock:
            self._symbols.remove(symbol)
        self._tell(lambda link: link.unsubscribe(topics_of(symbol)))

    def _tell(self, message: Callable[[BybitLink], None]) -> None:
        link = self.keeper.link
        if isinstance(link, BybitLink):
            try:
                message(link)
            except LinkLost:
                # The next link asks for the list as it is then.
                log.debug("stream_change_on_lost_link", stream=self.keeper.name)

    def _make_link(self) -> BybitLink:
        return BybitLink(self.keeper.name, self._url, self._topics, self._feed.on_frame)

    def _topics(self) -> list[str]:
        return [topic for symbol in self.symbols for topic in topics_of(symbol)]


class PublicStreams:
    """Follows a set of coins that may change.

    Args:
        url: of the public linear socket.
        feed: takes the messages.
        after_open: called with a connection's coins and the real seconds that were missed,
            None for coins that are followed for the first time. The coins are held in the
            detector; who is called has to see to their release.
        times: how the links are watched.
    """

    def __init__(self, url: str, feed: PublicFeed, after_open: AfterOpen, times: KeeperTimes) -> None:
        self._url = url
        self._feed = feed
        self._after_open = after_open
        self._times = times
        self._connections: list[_Connection] = []

    @property
    def symbols(self) -> list[str]:
        """All followed coins."""
        return [symbol for connection in self._connections for symbol in connection.symbols]

    @property
    def keepers(self) -> list[StreamKeeper]:
        """One for each connection."""
        return [connection.keeper for connection in self._connections]

    def follow(self, symbols: Sequence[str]) -> list[str]:
        """Follow exactly these coins from now on; returns those that are followed no longer.

        An empty list changes nothing: it means that the universe is not known yet.
        """
        if not symbols:
            return []
        followed = set(self.symbols)
        gone = sorted(followed - set(symbols))
        for symbol in gone:
            self._holder(symbol).remove(symbol)
        fresh = [symbol for symbol in symbols if symbol not in followed]
        self._add(fresh)
        if gone or fresh:
            log.info("streams_follow", coins=len(symbols), added=len(fresh), removed=gone)
        return gone

    def stop(self) -> None:
        """End every connection."""
        for connection in self._connections:
            connection.keeper.stop()

    def _add(self, fresh: Sequence[str]) -> None:
        homeless = []
        for symbol in fresh:
            home = next((one for one in self._connections if one.room >= argument_characters(symbol)), None)
            if home is None:
                homeless.append(symbol)
                continue
            self._feed.detector.hold([symbol])
            home.add(symbol)
            self._after_open([symbol], None)
        for chunk in chunked(homeless):
            self._connect(chunk)

    def _connect(self, chunk: Sequence[str]) -> None:
        name = f"public-{len(self._connections) + 1}"
        connection = _Connection(name, self._url, chunk, self._feed, self._after_open, self._times)
        self._connections.append(connection)
        connection.keeper.start()

    def _holder(self, symbol: str) -> _Connection:
        return next(one for one in self._connections if symbol in one.symbols)
