"""Runs the system's processes on one machine: starts, watches, restarts and ends them."""
