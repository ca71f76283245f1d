"""What `benchmarks/refresh.py`, `seed.py` and `two_hosts.py` are made of."""
