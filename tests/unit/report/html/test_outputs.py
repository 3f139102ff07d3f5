"""What commands wrote: the ends of long streams, equal ones once, and no more than fits."""

from collections.abc import Iterator

import pytest

from batchrun.model.outcome import Captured
from batchrun.report.html.outputs import (
    NO_ROOM,
    NOTHING,
    Excerpt,
    Extent,
    Outputs,
    ends,
    excerpt,
)


def shown_of(captured: Captured) -> Excerpt:
    return excerpt(ends(captured, SMALL))


SMALL = Extent(head_bytes=10, tail_bytes=20, all_chars=1_000)


@pytest.fixture
def outputs() -> Iterator[Outputs]:
    made = Outputs({"failed": SMALL, "rest": Extent(head_bytes=5, tail_bytes=5, all_chars=10)})
    yield made
    made.close()


def test_a_short_stream_is_whole() -> None:
    assert shown_of(Captured(head=b"one\n", tail=b"two\n")) == Excerpt(head="one\ntwo")


def test_a_long_one_is_cut_at_line_ends_and_every_missing_byte_is_counted() -> None:
    data = b"".join(b"line %d\n" % at for at in range(10))
    shown = shown_of(Captured(head=data))

    assert shown == Excerpt(head="line 0", left_out_bytes=70 - 7 - 14, tail="line 8\nline 9")


def test_a_line_without_end_is_cut_between_characters() -> None:
    shown = shown_of(Captured(head="ä".encode() * 50))
    assert (shown.head, shown.tail) == ("ä" * 5, "ä" * 10)

    shown = shown_of(Captured(head=b"x" + "ä".encode() * 50))
    assert (shown.head, shown.tail) == ("xääää", "ä" * 10)
    assert shown.left_out_bytes == 101 - 9 - 20


def test_bytes_that_are_no_text_are_cut_anywhere() -> None:
    shown = shown_of(Captured(head=b"\x80" * 100))

    assert shown.left_out_bytes == 100 - 10 - 20
    assert shown.head == "\\x80" * 10


def test_what_the_run_did_not_keep_is_counted_too() -> None:
    shown = shown_of(Captured(head=b"a\n", tail=b"b\n", omitted_bytes=5_000))

    assert shown == Excerpt(head="a", left_out_bytes=5_000, tail="b")
    assert shown.as_json() == ["a", 5_000, "b"]


def test_terminal_escapes_are_text_and_tabs_stay() -> None:
    shown = shown_of(Captured(head=b"\x1b[31m\t\xff\r\n"))

    assert shown.head == "\\x1b[31m\t\\xff"


def test_equal_outputs_have_one_place(outputs: Outputs) -> None:
    places = [outputs.place(Captured(head=text), "failed") for text in (b"a", b"b", b"a", b"")]

    assert places == [0, 1, 0, NOTHING]
    assert "".join(outputs.pieces()) == '["a",\n"b"]'


def test_one_class_of_units_cannot_take_the_room_of_another(outputs: Outputs) -> None:
    places = [outputs.place(Captured(head=b"%d" % at), "rest") for at in range(20)]

    assert places == [0, 1, 2, 3, *[NO_ROOM] * 16]
    assert outputs.place(Captured(head=b"why"), "failed") >= 0


def test_the_table_of_known_outputs_does_not_grow_for_ever() -> None:
    roomy = Outputs({"rest": Extent(head_bytes=5, tail_bytes=5, all_chars=10**6)})
    for at in range(1_500):
        roomy.place(Captured(head=b"%d" % at), "rest")
        assert roomy.place(Captured(head=b"0"), "rest") == 0  # seen all the time

    assert roomy.place(Captured(head=b"1"), "rest") == 1_500  # forgotten
    roomy.close()
