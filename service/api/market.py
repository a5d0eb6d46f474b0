"""What the caller's group trades, and at which prices; both from memory."""

from service.api.auth import Role
from service.api.calls import Answer, Call, Route
from service.api.replies import InstrumentList, QuoteList
from service.domain.desk import Desk
from service.domain.market import Terms
from service.domain.rejection import RejectCode
from service.storage.group_views import PriceView, group_symbol_view, price_view


def group_terms(desk: Desk, group: str) -> list[Terms]:
    """Return a group's terms by symbol name."""
    markets = sorted(desk.markets)
    return [terms for name in markets if (terms := desk.terms.get((group, name))) is not None]


def group_quotes(desk: Desk, group: str) -> list[PriceView]:
    """Return the last group price of every symbol that has been quoted, by name."""
    prices = (price_view(terms) for terms in group_terms(desk, group))
    return [price for price in prices if price is not None]


async def list_symbols(call: Call[None, None]) -> Answer:
    group = await call.group()
    terms = group_terms(call.services.market.desk, group)
    return Answer(200, InstrumentList(symbols=[group_symbol_view(each) for each in terms]))


async def list_quotes(call: Call[None, None]) -> Answer:
    group = await call.group()
    services = call.services
    return Answer(
        200,
        QuoteList(
            group=group,
            sequence=services.board.sequence(group),
            quotes=group_quotes(services.market.desk, group),
        ),
    )


ROUTES = (
    Route(
        "GET",
        "/api/v1/symbols",
        "List the instruments of your group with its terms",
        list_symbols,
        Role.TRADER,
        {200: InstrumentList},
        errors=(RejectCode.UNKNOWN_ACCOUNT,),
    ),
    Route(
        "GET",
        "/api/v1/quotes",
        "List your group's last prices",
        list_quotes,
        Role.TRADER,
        {200: QuoteList},
        errors=(RejectCode.UNKNOWN_ACCOUNT,),
    ),
)
