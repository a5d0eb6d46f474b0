"""A scenario small enough to be replayed by hand, and ways to replay it and read its deals."""

import csv
from pathlib import Path
from typing import Any

from service.instruments import Instruments
from service.replay import Replay, plan_replay
from service.servers import Servers
from tests.unit.scenario.folders import GOOD

TICK_HEADER = GOOD["ticks.csv"][0]
# Group gold marks EURUSD up by 13 points and USDJPY by 20, raw EURUSD by none.
ORDERS = {
    "orders.csv": [
        GOOD["orders.csv"][0],
        "limit,1,EURUSD,BUY_LIMIT,0.10,1.14600,1.14400,1.14700",
        "stop,1,USDJPY,SELL_STOP,1,109.500,109.700,",
        "market,2,EURUSD,SELL,0.01,,1.15000,",
        ",2,EURUSD,BUY_STOP,50,1.14650,,",
    ]
}
COUNTS = ("ticks", "refused", "triggered", "opened", "closed", "cancelled")
TICKS = (
    "2019-01-01T23:00:00.071Z,USDJPY,109.676,109.687",
    "2019-01-01T23:00:00.078Z,EURUSD,1.14605,1.14643",
    "2019-01-01T23:00:01.500Z,EURUSD,1.14570,1.14580",
    "2019-01-01T23:00:02Z,USDJPY,109.450,109.460",
    "2019-01-01T23:00:03.999999Z,EURUSD,1.14720,1.14730",
    "2019-01-01T23:00:04.000Z,USDJPY,109.710,109.720",
)


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def read_deals(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_ticks(path: Path, *ticks: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in (TICK_HEADER, *ticks)), encoding="utf-8")
    return path


async def replay(
    servers: Servers,
    folder: Path,
    ticks: Path,
    deals: Path,
    *,
    speed: float | None = None,
    instruments: Instruments | None = None,
) -> dict[str, Any]:
    plan = plan_replay(folder, ticks, speed, deals)
    return await Replay(plan, servers, instruments or Instruments()).run()
