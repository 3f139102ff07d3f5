"""How many log in to one server at once: fewer after a drop, slowly more after that."""

from batchrun.remote.ramp import Ramp


def nothing() -> None:
    """Nobody stops anybody."""


def drop(ramp: Ramp, server: str) -> None:
    with ramp.turn(server, nothing) as turn:
        turn.dropped = True


def limit(ramp: Ramp, server: str) -> float:
    return ramp._gate(server, 8).limit


def test_a_drop_halves_what_is_let_through() -> None:
    ramp = Ramp(8)
    drop(ramp, "a")
    assert limit(ramp, "a") == 4
    assert limit(ramp, "b") == 8


def test_at_least_one_is_let_through() -> None:
    ramp = Ramp(8)
    for _ in range(10):
        drop(ramp, "a")
    assert limit(ramp, "a") == 1


def test_drops_of_the_same_wave_halve_once() -> None:
    ramp = Ramp(8)
    with ramp.turn("a", nothing) as first, ramp.turn("a", nothing) as second:
        first.dropped = second.dropped = True
    assert limit(ramp, "a") == 4


def test_success_raises_it_slowly_and_not_beyond_the_beginning() -> None:
    ramp = Ramp(8)
    drop(ramp, "a")
    with ramp.turn("a", nothing):
        pass
    assert 4 < limit(ramp, "a") < 5
    for _ in range(100):
        with ramp.turn("a", nothing):
            pass
    assert limit(ramp, "a") == 8
