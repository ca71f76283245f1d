"""The running system in step with its market, to hold its decisions against the backtest's.

Real workers, Redis, PostgreSQL, streams and simulator, on a clock that moves only when everybody has
done what the last moment asked for. So a run does not depend on how busy the machine is, and what
it decides can be compared with what the backtest decides on the same candles, line by line.
"""
