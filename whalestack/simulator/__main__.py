"""`python -m whalestack.simulator`: the simulator alone, with the settings of `.env`."""

from __future__ import annotations

import argparse

from whalestack.config import load_settings
from whalestack.errors import StopAndTell
from whalestack.simulator.server import run


def main() -> None:
    """Run until Ctrl-C. A wrong setting or a taken port ends it with one sentence."""
    parser = argparse.ArgumentParser(prog="whalestack.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8899, help="0 takes a free one and logs it")
    parser.add_argument("--market", help="synthetic, recorded:FOLDER, archive:FOLDER or mirror:URL")
    parser.add_argument("--speed", type=float, help="market seconds in a real second")
    given = parser.parse_args()
    overrides = {"simulator_market": given.market, "clock_speed": given.speed}
    try:
        settings = load_settings(**{name: value for name, value in overrides.items() if value is not None})
        run(settings, given.host, given.port)
    except StopAndTell as error:
        parser.exit(2, f"{error}\n")
    except OSError as error:
        parser.exit(2, f"{given.host}:{given.port} cannot be used: {error.strerror}; choose another --port\n")


if __name__ == "__main__":
    main()
