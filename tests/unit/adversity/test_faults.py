"""The plan of a seed."""

from tests.adversity.deployment import CLUSTER, PAIR
from tests.adversity.faults import Kind, draw_plan

LEASE_S = 2.0


def test_a_seed_has_one_plan() -> None:
    plan = draw_plan(7, 200, CLUSTER, LEASE_S)
    assert plan == draw_plan(7, 200, CLUSTER, LEASE_S)
    assert plan != draw_plan(8, 200, CLUSTER, LEASE_S)
    assert plan[:50] == draw_plan(7, 50, CLUSTER, LEASE_S)
    assert [fault.number for fault in plan] == list(range(1, 201))


def test_everything_is_hurt_in_every_way() -> None:
    plan = draw_plan(1, 2_000, CLUSTER, LEASE_S)
    assert {fault.kind for fault in plan} == set(Kind)
    processes = {fault.target for fault in plan if fault.kind is Kind.FREEZE}
    assert processes == set(CLUSTER)
    links = {fault.target for fault in plan if ">" in fault.target}
    assert {f"{name}>postgres" for name in CLUSTER} <= links
    assert {f"{name}>redis" for name in CLUSTER} <= links
    assert {f"{name}>redis-{node}" for name in CLUSTER for node in range(1, 7)} <= links
    assert {"gateway-1>clients", "gateway-2>clients", "feed>upstream"} <= links
    assert not {"engine-1>clients", "feed>clients", "gateway-1>upstream"} & links
    nodes = {fault.target for fault in plan if fault.target.startswith("redis-")}
    assert nodes == {f"redis-{node}" for node in range(1, 7)}
    assert {fault.target for fault in plan if fault.kind is Kind.RESTART} == {"postgres"}


def test_a_process_is_frozen_past_its_lease_and_paused_within_it() -> None:
    for fault in draw_plan(3, 2_000, PAIR, LEASE_S):
        if fault.kind is Kind.FREEZE:
            assert fault.lasts_s > LEASE_S
        if fault.kind is Kind.PAUSE and not fault.target.startswith("redis"):
            assert fault.lasts_s < LEASE_S
