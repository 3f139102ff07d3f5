"""Named resources: who holds, who waits, who is woken."""

from batchrun.engine.limits import Resources


def test_a_resource_that_nobody_named_has_one_place() -> None:
    resources: Resources[str] = Resources({})
    assert resources.missing(["x"]) is None
    resources.take(["x"])
    assert resources.missing(["x"]) == "x"


def test_a_resource_has_as_many_places_as_its_capacity() -> None:
    resources: Resources[str] = Resources({"db": 3})
    for _ in range(3):
        assert resources.missing(["db"]) is None
        resources.take(["db"])
    assert resources.missing(["db"]) == "db"


def test_the_first_missing_name_is_told_and_nothing_is_taken() -> None:
    resources: Resources[str] = Resources({})
    resources.take(["b", "c"])
    assert resources.missing(["a", "b", "c"]) == "b"
    assert resources.held() == {"b": 1, "c": 1}


def test_giving_back_wakes_the_longest_waiting_for_each_free_place() -> None:
    resources: Resources[str] = Resources({"db": 2})
    resources.take(["db"])
    resources.take(["db"])
    for waiter in ("first", "second", "third"):
        resources.wait("db", waiter, first=False)
    assert resources.give_back(["db"]) == ["first"]
    resources.take(["db"])
    assert resources.give_back(["db", "db"]) == ["second", "third"]


def test_one_that_waited_before_keeps_its_place_in_front() -> None:
    resources: Resources[str] = Resources({})
    resources.take(["x"])
    resources.wait("x", "late", first=False)
    resources.wait("x", "early", first=True)
    assert resources.give_back(["x"]) == ["early"]


def test_giving_back_with_nobody_waiting_wakes_nobody() -> None:
    resources: Resources[str] = Resources({})
    resources.take(["x"])
    assert resources.give_back(["x"]) == []
    assert resources.held() == {}


def test_waking_takes_no_more_than_there_are_free_places() -> None:
    resources: Resources[str] = Resources({"db": 2})
    resources.take(["db"])
    for waiter in ("first", "second"):
        resources.wait("db", waiter, first=False)
    assert resources.wake("db") == ["first"]
    assert resources.wake("unknown") == []


def test_those_who_are_removed_are_not_woken_and_the_rest_keep_their_order() -> None:
    resources: Resources[str] = Resources({})
    resources.take(["x", "y"])
    for waiter in ("a1", "b1", "a2", "b2"):
        resources.wait("x", waiter, first=False)
    resources.wait("y", "a1", first=False)
    resources.remove("x", "a1")
    resources.remove("x", "b2")
    resources.remove("y", "a1")
    assert resources.give_back(["x", "y"]) == ["b1"]
    assert resources.wake("x") == ["a2"]
