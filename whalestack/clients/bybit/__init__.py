"""The Bybit v5 client: pybit with its hazards handled, and values in our own types."""
