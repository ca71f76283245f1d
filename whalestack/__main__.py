"""``python -m whalestack`` is the command line."""

from whalestack.cli import main

main()
