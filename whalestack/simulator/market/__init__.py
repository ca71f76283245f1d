"""The markets that the simulator plays: synthetic, recorded or mirrored."""
