"""The limit of open files: raised as far as it is needed and allowed, and never too much served."""

import resource

import pytest

from service.open_files import OTHER_FILES, room_for


@pytest.mark.parametrize(
    ("soft", "hard", "room", "raised"),
    [
        (100_000, 100_000, 1_000, None),
        (1_024, 100_000, 1_000, 1_000 + OTHER_FILES),
        (1_024, resource.RLIM_INFINITY, 1_000, 1_000 + OTHER_FILES),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 1_000, None),
        (512, 1_024, 1_024 - OTHER_FILES, 1_024),
        (10, 10, 1, 10),
    ],
)
def test_it_is_raised_as_far_as_it_may(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, room: int, raised: int | None
) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    assert room_for(1_000) == room
    assert set_to == ([] if raised is None else [(raised, hard)])
