"""`python -m marketdata_tools.run`: the whole service on this machine, until Ctrl-C.

Exits 0 when it was asked to end, 2 for a setting or a document that breaks a rule, 1 for anything
else that is in the way or goes wrong.
"""

import os
import sys

from rich.console import Console

from marketdata.errors import InvalidInput, MarketDataError, Misconfigured
from marketdata_tools.run import settings
from marketdata_tools.run.folder import CannotRun
from marketdata_tools.run.launcher import Launcher
from marketdata_tools.run.stopping import Stopping


def main() -> int:
    """Run until SIGINT, SIGTERM or SIGHUP; a second one hurries the end."""
    stopping = Stopping()
    stopping.listen()
    console, environ = Console(), settings.environment()
    try:
        launcher = Launcher(
            settings=settings.read(environ), environ=environ, console=console, stopping=stopping
        )
        return launcher.run()
    except (Misconfigured, InvalidInput) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (CannotRun, MarketDataError, RuntimeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except BrokenPipeError:  # whoever read our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
