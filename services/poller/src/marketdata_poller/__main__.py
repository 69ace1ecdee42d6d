"""`python -m marketdata_poller`: poll, relay, settle and maintain until SIGTERM.

`--roles` chooses some of these for this process. `replay-dead-letters` asks for dead letters to be
published again and exits; a running relay does it.
"""

import argparse
import sys
import threading
from collections.abc import Sequence
from uuid import UUID

from marketdata.errors import MarketDataError, Misconfigured
from marketdata.steps import StepObserver, unobserved
from marketdata.stopping import stop_on_signals
from marketdata.storage.dead_letters import PostgresDeadLetters
from marketdata.storage.engine import create_engine
from marketdata.telemetry import logs, tracing
from marketdata_poller import settings, wiring
from marketdata_poller.providers import settings as provider_settings
from marketdata_poller.providers.registry import InstalledProviders

_log = logs.get("poller")


def main(argv: Sequence[str] | None = None, *, on_step: StepObserver = unobserved) -> int:
    """Run until told to stop and return 0; 2 with one sentence where the settings are wrong."""
    asked = _parser().parse_args(argv)
    installed = InstalledProviders(environ={})
    try:
        told = settings.read(installed.prefixes())
        if asked.command == "replay-dead-letters":
            return _replay(told, asked)
        _check_providers(told, installed)
        provider_settings.check(told.environ)
        installed = InstalledProviders(environ=told.environ)
        logs.configure(level=told.process.log_level, style=told.process.log_format, service="poller")
        poller = wiring.Poller(
            settings=told,
            installed=installed,
            roles=asked.roles,
            traces=tracing.start("poller", told.traces),
            on_step=on_step,
        )
    except Misconfigured as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return _run(poller)


def _run(poller: wiring.Poller) -> int:
    stop = threading.Event()
    stop_on_signals(stop)
    poller.start()
    _log.info("started", metrics_port=poller.health.port)
    stop.wait()
    unfinished = poller.end()
    if unfinished:
        _log.warning("stopped without waiting for all", loops=unfinished)
    else:
        _log.info("stopped")
    return 0


def _check_providers(told: settings.Settings, installed: InstalledProviders) -> None:
    missing = set(told.poller.chosen(installed.names())) - set(installed.names())
    if missing:
        raise Misconfigured(
            f"MARKETDATA_POLLER_PROVIDERS: {min(missing)} is not installed; installed are "
            + ", ".join(installed.names())
        )


def _replay(told: settings.Settings, asked: argparse.Namespace) -> int:
    engine = create_engine(told.postgres, application="marketdata-replay")
    letters = PostgresDeadLetters(engine)
    try:
        count = letters.request_replay(identifiers=[asked.id] if asked.id else None, reason=asked.reason)
    except MarketDataError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{count} dead letters will be published again by a running relay\n")
    return 0


def _roles(text: str) -> list[str]:
    roles = [role.strip() for role in text.split(",") if role.strip()]
    unknown = [role for role in roles if role not in wiring.ROLES]
    if unknown or not roles:
        raise argparse.ArgumentTypeError(f"choose from {', '.join(wiring.ROLES)}")
    return list(dict.fromkeys(roles))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m marketdata_poller", description=__doc__)
    parser.add_argument(
        "--roles", type=_roles, default=list(wiring.ROLES), help="poll, relay, sweep, maintain; default all"
    )
    commands = parser.add_subparsers(dest="command")
    replay = commands.add_parser("replay-dead-letters", help="publish dead letters again")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("--id", type=UUID, help="one letter")
    which.add_argument("--reason", help="those refused for this reason, e.g. poison_message")
    which.add_argument("--all", action="store_true", help="every one not replayed yet")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
