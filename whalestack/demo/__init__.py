"""The demo: everything on embedded parts, shown live in the terminal."""
