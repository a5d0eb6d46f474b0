"""Waits double up to their cap, are jittered, and start over after a success."""

from random import Random

from service.feed.backoff import Backoff


def test_waits_double_within_their_jitter_up_to_the_cap() -> None:
    backoff = Backoff(1.0, 8.0, Random(1))
    for ceiling_s in (1, 2, 4, 8, 8, 8):
        assert ceiling_s / 2 <= backoff.next_wait_s() <= ceiling_s
    backoff.reset()
    assert backoff.next_wait_s() <= 1


def test_two_feeds_do_not_come_back_together() -> None:
    first, second = Backoff(1.0, 8.0, Random(1)), Backoff(1.0, 8.0, Random(2))
    assert first.next_wait_s() != second.next_wait_s()
