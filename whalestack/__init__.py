"""Whalestack: liquidation heat maps in, protected small-perp trades out, told to people."""

__version__ = "0.1.0"
