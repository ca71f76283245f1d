"""A local stand-in for the outside systems: Bybit, CoinGlass, Telegram, X, over one market.

`python -m whalestack.simulator` runs it; `docs/simulator.md` says what it plays, what is
derived and how, which faults it injects and how to look inside.
"""
