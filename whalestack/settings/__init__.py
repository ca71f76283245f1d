"""What can be set, by subject: each file holds one group of fields with their units and ranges.

`whalestack.config` puts the groups together and is the only place that reads `.env`.
"""
