"""What the service measures, said in the words of the trade, one noun a module.

Everything above the domain tells an `Instruments` what happened; which metric that is, stays here.
Label values must be those of `telemetry/vocabulary.py`: another one raises ValueError. Call it from
the event loop's thread alone. A test takes a fresh `Instruments()`: there is no other double.

Cost: a call and a look-up. What would be told with every tick is asked for at scrape instead.
"""

from service.instruments.bus import BusInstruments
from service.instruments.dealing import DealingInstruments
from service.instruments.pools import PoolInstruments
from service.instruments.quotes import QuoteInstruments
from service.instruments.scrapes import ScrapeInstruments
from service.instruments.shards import ShardInstruments
from service.instruments.sockets import SocketInstruments
from service.instruments.spans import SpanInstruments
from service.instruments.stores import StoreInstruments
from service.instruments.writing import WritingInstruments
from telemetry.metrics import Metrics
from telemetry.spans import Tracing


class Instruments(
    QuoteInstruments,
    DealingInstruments,
    WritingInstruments,
    ShardInstruments,
    BusInstruments,
    StoreInstruments,
    PoolInstruments,
    SocketInstruments,
    ScrapeInstruments,
    SpanInstruments,
):
    """The service's measurements on one set of metrics, and its spans."""

    def __init__(self, metrics: Metrics | None = None, tracing: Tracing | None = None) -> None:
        metrics = Metrics() if metrics is None else metrics
        self.metrics = metrics
        QuoteInstruments.__init__(self, metrics)
        DealingInstruments.__init__(self, metrics)
        WritingInstruments.__init__(self, metrics)
        ShardInstruments.__init__(self, metrics)
        BusInstruments.__init__(self, metrics)
        StoreInstruments.__init__(self, metrics)
        PoolInstruments.__init__(self, metrics)
        SocketInstruments.__init__(self, metrics)
        ScrapeInstruments.__init__(self, metrics)
        SpanInstruments.__init__(self, metrics, Tracing() if tracing is None else tracing)
