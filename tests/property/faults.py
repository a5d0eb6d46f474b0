"""What is wrong with a bad quote, and with the part of a position that is to be closed."""

from service.domain.quote import Quote
from tests.property.oracle import MAX_AGE, MAX_AHEAD


def spoil(quote: Quote, fault: str, last_time: int | None) -> tuple[Quote, int]:
    """Return a quote with a fault, and by how many ns the clock goes on before it comes."""
    time = quote.time
    match fault:
        case "crossed":
            return quote._replace(ask=quote.bid - 1), 0
        case "zero":
            return quote._replace(bid=0), 0
        case "negative":
            return quote._replace(bid=-quote.bid, ask=-1), 0
        case "late":
            return quote._replace(time=time if last_time is None else last_time - 1), 0
        case "unknown":
            return quote._replace(symbol="XAUUSD"), 0
        case "stale":
            return quote, MAX_AGE + 1
        case "aged":
            return quote, MAX_AGE
        case "ahead":
            return quote._replace(time=time + MAX_AHEAD), 0
        case _:
            return quote._replace(time=time + MAX_AHEAD + 1), 0


def part_of(whole: int, part: str | None) -> int | None:
    """Return the volume that a part of a whole volume is; None: all of it, unsaid."""
    return {
        None: None,
        "half": whole // 200 * 100,
        "step": 100,
        "all but a step": whole - 100,
        "all": whole,
        "more": whole + 100,
        "too little": 50,
        "all but too little": whole - 50,
    }[part]
