"""What `storage.py` and `ranking.py` share: made-up maps, a database to put them in, stopwatches."""
