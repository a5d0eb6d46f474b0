"""What trading back ends like this one have failed at in practice, and the tests that catch it.

Failures between parts are tested on a real shard in the modules beside this one, each test named
after its failure. Those that another test catches already are not tested twice. All tests that are
named here exist; that is what is tested here. Paths are relative to `tests/`.

**Executed twice**, by sockets, ticks, sweeps and hands at once:
adversity/test_known_failures_of_fills.py,
adversity/test_known_failures_of_swaps.py::test_swap_charged_twice_a_day;
a trigger in flight: integration/test_sweep.py::test_what_is_in_flight_is_left_alone;
a command that is repeated: integration/test_keys.py::test_repeats_at_once_decide_once;
a commit that is repeated: integration/test_writer.py::test_of_the_same_batch_sent_twice_at_once_one_is_applied;
by two owners: integration/test_lease.py::test_a_fenced_owner_writes_nothing_tells_its_callers_and_stands_by;
a deal taken back twice: integration/test_dealing_desk.py::test_two_corrections_of_a_deal_at_once_are_one.

**Triggered wrongly**: at the old price, again and again, at another group's price, without stop
loss and take profit, discarded after many errors: adversity/test_known_failures_of_triggers.py;
for want of a cache entry: adversity/test_outages.py::test_redis_is_stopped_in_the_middle_of_trading;
replayed from the start: adversity/test_outages.py::test_a_process_that_dies_in_an_outage_judges_anew;
by the ask for every type: unit/domain/test_engine.py::test_a_level_closes_at_the_closing_side_exactly;
by an absolute epsilon: unit/domain/test_engine.py::test_a_pending_order_fires_at_its_price_and_not_a_point_before;
at crossed, stale or absurd quotes: unit/domain/test_engine.py::test_a_refused_quote_triggers_nothing_and_changes_no_price;
at a price that was not shown: unit/api/test_orders.py::test_a_market_order_is_answered_filled_at_the_group_price,
or that the client named: unit/api/test_orders.py::test_an_open_order_closes_at_the_price_of_the_service.

**One failed order poisoning the rest**, of a tick:
integration/test_restarts.py::test_an_order_that_always_raises_harms_its_account_alone;
of a sweep: adversity/test_known_failures_of_triggers.py,
of a rollover: adversity/test_known_failures_of_swaps.py,
of a commit: integration/test_writer.py::test_failures_all_over_a_batch_are_each_taken_out,
of the portfolio job: integration/test_portfolio_job.py::test_an_account_that_cannot_be_valued_fails_alone_and_is_not_left_stale.

**More than 100 accounts**: adversity/test_known_failures_of_accounts.py,
adversity/test_known_failures_of_swaps.py::test_more_than_100_accounts_to_be_charged,
integration/test_portfolio_job.py::test_more_than_a_hundred_accounts_of_every_kind_are_all_valued.

**Live and demo ids**: adversity/test_known_failures_of_accounts.py::test_live_and_demo_accounts_of_one_id,
adversity/test_known_failures_of_swaps.py::test_swap_charged_to_live_accounts_alone,
integration/test_sweep.py::test_live_and_demo_are_asked_for_apart;
woken by what happens to others: unit/api/test_stream.py::test_what_happens_to_others_is_not_told;
another's order: unit/domain/test_commands.py::test_a_foreign_order_is_not_found.

**Equity** of zero or less, of the changed symbols alone, converted one to one, everything stopped
out at a raw price: adversity/test_known_failures_of_equity.py; a position without a rate:
integration/test_portfolio.py::test_a_position_without_a_rate_is_unpriced_and_never_zero;
an order without one: unit/domain/test_engine.py::test_an_order_that_cannot_be_converted_is_cancelled;
opened on balance, whatever is lost: unit/domain/test_account.py::test_free_margin_counts_the_live_loss.

**Margin** that was stored after a failed close or drifted: adversity/test_known_failures_of_accounts.py;
a stop loss refused in profit: unit/domain/test_commands.py::test_a_stop_loss_may_follow_the_market_into_profit;
a ledger that counts twice: integration/test_reader.py::test_a_ledger_page_sums_to_the_balance.

**Unnoticed**: a cut-off that failed silently, a price that disappeared because it did not change,
ids taken for numbers, a coroutine that nobody awaited, connections held by sockets:
adversity/test_known_failures_unnoticed.py;
loops that died of a missing function: unit/loops/test_repeating.py::test_failures_in_a_row_are_counted_backed_off_and_recovered_from,
unit/loops/test_standing.py::test_what_dies_or_ends_is_started_again_after_ever_longer_waits,
integration/test_status.py::test_it_tells_who_is_well_who_fails_and_who_recovered;
updates of which only the last was kept: integration/test_prices.py::test_only_what_changed_is_told_and_numbers_have_no_gap,
unit/api/test_stream.py::test_updates_that_wait_go_out_as_one_with_the_last_prices;
a cache that differs from the truth: integration/test_cache_audit.py::test_each_kind_of_difference_is_counted_and_repaired;
an account read on every message: integration/test_portfolio.py::test_the_database_is_read_only_if_the_cache_has_nothing;
a line of log for every order and tick: unit/loops/test_order_log.py::test_of_many_deals_a_few_are_named.
"""  # noqa: E501 - names of tests are not broken

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
NAMED = sorted(set(re.findall(r"\b[a-z]+/[\w/]+\.py(?:::\w+)?", __doc__ or "")))


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_is_named_exists(name: str) -> None:
    path, _, function = name.partition("::")
    wanted = rf"{function}\(" if function else "test_"
    source = (TESTS / path).read_text(encoding="utf-8")
    assert re.search(rf"^(async )?def {wanted}", source, re.MULTILINE)


def test_every_module_of_known_failures_is_named() -> None:
    modules = {f"adversity/{each.name}" for each in Path(__file__).parent.glob("*_failures_*.py")}
    assert modules <= {name.partition("::")[0] for name in NAMED}
