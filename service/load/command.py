"""`tapewatch load`: the load as a command, and what it prints."""

import argparse
import resource

import msgspec
import uvloop

from service.load.errors import CannotLoad
from service.load.figures import HEADINGS, Figures, interval_line, row, summary
from service.load.options import plan_of
from service.load.run import load
from service.load.target import Target
from service.settings import Settings
from service.signing import read_secrets


def run_load(options: argparse.Namespace, settings: Settings) -> int:
    """Put a load on the service that runs with these settings, and print what was found.

    Raises:
        CannotLoad: it cannot be loaded, or the options contradict each other.
        ConfigurationError: there is no signing secret.
    """
    try:
        plan = plan_of(options)
    except ValueError as error:
        raise CannotLoad(str(error)) from None
    if settings.feed_url is None:
        raise CannotLoad(
            "set TAPEWATCH_FEED_URL, as for the service: a load serves the quotes there, "
            "such as ws://127.0.0.1:9500"
        )
    target = Target(
        settings.host,
        settings.port,
        settings.ops_host,
        settings.ops_port,
        settings.feed_url,
        read_secrets(settings).current,
    )
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a socket is a file
    tell = _tell_json if options.json else _Table().tell
    figures = uvloop.run(load(plan, target, tell))
    if options.json:
        _tell_json(figures)
    else:
        print("", *summary(figures), sep="\n")
    return 0


def _tell_json(figures: Figures) -> None:
    print(msgspec.json.encode(figures).decode(), flush=True)


class _Table:
    """The intervals, a line each."""

    def __init__(self) -> None:
        self._begun: float | None = None

    def tell(self, figures: Figures) -> None:
        if self._begun is None:
            self._begun = figures.started
            print("99th percentiles in ms; COMMIT and QUOTE AGE as the service measures them")
            print(row(HEADINGS), flush=True)
        print(interval_line(figures, self._begun), flush=True)
