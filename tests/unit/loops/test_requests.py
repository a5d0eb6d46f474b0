"""Requests and replies as data: they arrive as they were sent."""

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st

from service.domain.decision import EventKind
from service.domain.instrument import (
    CommissionType,
    CommissionValueType,
    FillPolicy,
    Group,
    GroupSymbol,
    InstrumentType,
    Symbol,
    TradingState,
    UserType,
)
from service.domain.rejection import RejectCode, Rejected
from service.domain.sessions import parse_sessions
from service.loops.answers import Unavailable, Withdrawn
from service.loops.requests import (
    Answer,
    Author,
    ChangeSettings,
    CreateAccount,
    Done,
    Exposure,
    ListExposure,
    Request,
    SetGroup,
    SetGroupState,
    SetSymbol,
    SetSymbolState,
    SetTerms,
    SettingsStored,
    TakeCommand,
    Taken,
    UnavailableReply,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    given,
    refusal,
)
from service.storage.errors import Unreachable
from service.storage.rows import (
    group_from,
    group_row,
    group_symbol_from,
    group_symbol_row,
    symbol_from,
    symbol_row,
)
from service.storage.views import DealView, EventView, OrderView
from tests.unit.loops.test_commands import COMMANDS, DECIMALS, IDS, TEXTS

KEYS = st.none() | TEXTS
VOLUMES = st.integers(1, 10**15)
LEVELS = DECIMALS.map(abs)
STATES = st.sampled_from(TradingState)
SESSIONS = st.sampled_from(
    ["Europe/London: Mon-Fri 08:00-16:30", "America/New_York: Sun 17:05-Mon 16:55"]
).map(parse_sessions)
SYMBOLS = st.builds(
    lambda volumes, **values: Symbol(**values, min_volume=min(volumes), max_volume=max(volumes)),
    st.tuples(VOLUMES, VOLUMES),
    name=TEXTS,
    digits=st.integers(0, 8),
    contract_size=LEVELS.filter(bool),
    base_currency=TEXTS,
    profit_currency=TEXTS,
    instrument_type=st.sampled_from(InstrumentType),
    volume_step=VOLUMES,
    trigger_tolerance_points=st.integers(0, 10**6),
    max_jump_points=st.none() | VOLUMES,
    trading_state=STATES,
    sessions=st.none() | SESSIONS,
    triple_swap_weekday=st.none() | st.integers(0, 4),
)
GROUPS = st.builds(
    lambda levels, **values: Group(
        **values, margin_call_level=max(levels), stop_out_level=min(levels)
    ),
    st.tuples(LEVELS, LEVELS),
    name=TEXTS,
    negative_balance_protection=st.booleans(),
    fill_policy=st.sampled_from(FillPolicy),
    margin_call_hysteresis=LEVELS,
    trading_state=STATES,
)
TERMS = st.builds(
    GroupSymbol,
    TEXTS,
    TEXTS,
    LEVELS,
    LEVELS,
    st.sampled_from(CommissionType),
    st.sampled_from(CommissionValueType),
    LEVELS,
    DECIMALS,
    DECIMALS,
    LEVELS.filter(bool),
)
ROWS = (
    SYMBOLS.map(lambda symbol: SetSymbol(symbol_row(symbol)))
    | GROUPS.map(lambda group: SetGroup(group_row(group)))
    | TERMS.map(lambda terms: SetTerms(group_symbol_row(terms)))
)
CHANGES = ROWS | st.builds(SetSymbolState, TEXTS, STATES) | st.builds(SetGroupState, TEXTS, STATES)
AUTHORS = st.builds(Author, TEXTS, TEXTS)
REQUESTS: st.SearchStrategy[Request] = st.one_of(
    st.builds(TakeCommand, IDS, KEYS, COMMANDS),
    st.builds(ChangeSettings, CHANGES, AUTHORS),
    st.builds(CreateAccount, IDS, st.sampled_from(UserType), TEXTS, DECIMALS, DECIMALS, AUTHORS),
    st.just(ListExposure()),
)


ORDERS = st.builds(
    OrderView, order_id=IDS, account_id=IDS, trailing_distance_points=st.none() | VOLUMES
)
DEALS = st.builds(
    DealView,
    deal_id=IDS,
    order_id=IDS,
    slippage_points=st.none() | VOLUMES,
    corrects=st.none() | IDS,
)
EVENTS = st.builds(
    EventView,
    account_id=IDS,
    sequence=IDS,
    kind=st.sampled_from(EventKind),
    balance=TEXTS,
    margin=TEXTS,
    order=st.none() | ORDERS,
    deal=st.none() | DEALS,
    in_margin_call=st.booleans(),
)
ANSWERS: st.SearchStrategy[Answer] = st.one_of(
    st.builds(Taken, EVENTS, st.booleans()),
    st.builds(SettingsStored, IDS, ROWS),
    st.just(Done()),
    st.builds(Exposure, st.lists(st.tuples(TEXTS, TEXTS, VOLUMES, VOLUMES), max_size=3)),
)


@hypothesis.given(REQUESTS)
def test_a_request_arrives_as_it_was_sent(request: Request) -> None:
    assert decode_request(encode_request(request)) == request


@hypothesis.given(ANSWERS)
def test_an_answer_arrives_as_it_was_given(answer: Answer) -> None:
    assert given(decode_reply(encode_reply(answer))) == answer


@pytest.mark.parametrize(
    "error",
    [
        Rejected(RejectCode.INVALID_PRICE, "price must be above zero", "price"),
        Rejected(RejectCode.UNKNOWN_GROUP, "there is no group x"),
        Unavailable("the database is away: try again", 5),
        Withdrawn("the account was loaded anew"),
    ],
)
def test_a_refusal_is_raised_where_it_was_asked(error: Exception) -> None:
    told = refusal(error)
    assert told is not None
    with pytest.raises(type(error)) as raised:
        given(decode_reply(encode_reply(told)))
    assert (raised.value.args, vars(raised.value)) == (error.args, vars(error))


def test_a_database_that_is_away_is_told_as_such_and_a_mistake_is_no_refusal() -> None:
    told = refusal(Unreachable("connection refused at 10.0.0.7"))
    assert told == UnavailableReply("the database is away: try again", 1)
    assert refusal(ValueError("a mistake")) is None


def test_what_is_no_request_is_refused() -> None:
    for message in (
        {"ask": "drop"},
        {"account_id": 1},
        {"ask": "takecommand", "account_id": 1, "key": None},
        {"ask": "changesettings", "change": {"set": "setsymbol", "row": ["A"]}, "author": ["a"]},
    ):
        with pytest.raises(msgspec.ValidationError):
            decode_request(msgspec.msgpack.encode(message))


@hypothesis.given(SYMBOLS, GROUPS, TERMS)
def test_settings_are_the_same_after_the_way(
    symbol: Symbol, group: Group, terms: GroupSymbol
) -> None:
    arrived = [
        decode_request(encode_request(ChangeSettings(change, Author("admin"))))
        for change in (
            SetSymbol(symbol_row(symbol)),
            SetGroup(group_row(group)),
            SetTerms(group_symbol_row(terms)),
        )
    ]
    for request in arrived:
        assert isinstance(request, ChangeSettings)
        match request.change:
            case SetSymbol(row):
                assert symbol_from(row) == symbol
            case SetGroup(row):
                assert group_from(row) == group
            case SetTerms(row):
                assert group_symbol_from(row) == terms
            case _:
                raise AssertionError(request.change)
