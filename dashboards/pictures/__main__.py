"""`python -m dashboards.pictures UID` writes the picture of a dashboard as SVG.

Exit codes: 0, 1 where Prometheus cannot be asked, 2 for a wrong argument.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path

import aiohttp

from dashboards.pictures.answers import Span, ask
from dashboards.pictures.picture import picture
from dashboards.pictures.source import known, read

ANY = ".+"


def main(arguments: list[str] | None = None) -> int:
    """Ask, draw, write, and return the exit code."""
    options = _parser().parse_args(arguments)
    dashboard = read(options.uid)
    end = time.time() if options.end is None else options.end
    span = Span(end - 60 * options.minutes, end, options.interval)
    chosen = {"job": options.job, "instance": options.instance}
    try:
        answers = asyncio.run(ask(dashboard, options.prometheus, span, chosen))
    except (aiohttp.ClientError, TimeoutError) as error:
        print(f"Prometheus at {options.prometheus} cannot be asked: {error}", file=sys.stderr)
        return 1
    drawn = picture(dashboard, answers, span)
    if options.output is None:
        print(drawn, end="")
    else:
        options.output.write_text(drawn, encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dashboards.pictures",
        description="Draw a dashboard from a Prometheus, without Grafana, as SVG.",
    )
    parser.add_argument("uid", choices=known())
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", metavar="URL")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the past (default 60)")
    parser.add_argument("--end", type=float, metavar="UNIX_TIME", help="until when (default now)")
    parser.add_argument(
        "--interval", type=float, default=5.0, metavar="SECONDS", help="of scrapes (default 5)"
    )
    parser.add_argument("--job", default="tapewatch", help="regular expression")
    parser.add_argument("--instance", default=ANY, help="regular expression")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    return parser


if __name__ == "__main__":
    sys.exit(main())
