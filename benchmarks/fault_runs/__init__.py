"""What `benchmarks/faults.py` is made of: a whole system under load, and what is done to it."""
