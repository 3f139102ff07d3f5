"""Secrets in a stream that comes in pieces, however it is cut."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.model.secret import Mask
from batchrun.ops.masking import MaskedStream

SECRET = "s3cr3t-T0ken"


def masked(mask: Mask, pieces: list[bytes]) -> list[bytes]:
    """What may be seen after each piece, and at the end."""
    stream = MaskedStream(mask)
    return [*(stream.feed(piece) for piece in pieces), stream.finish()]


# Letters so few that secrets overlap each other, themselves, and the pieces' ends all the time.
_SECRETS = st.lists(st.text("ab", min_size=4, max_size=9), min_size=1, max_size=3)
_PIECES = st.lists(st.text("abx", max_size=12).map(str.encode), max_size=12)


@given(secrets=_SECRETS, pieces=_PIECES)
def test_a_stream_is_hidden_the_same_however_it_is_cut(
    secrets: list[str], pieces: list[bytes]
) -> None:
    mask = Mask(secrets)
    cut = b"".join(masked(mask, pieces))
    assert cut == b"".join(masked(mask, [b"".join(pieces)]))
    assert not any(form in cut for form in mask.forms)


@given(pieces=st.lists(st.binary(max_size=30)))
def test_a_stream_without_secrets_passes_unharmed(pieces: list[bytes]) -> None:
    assert b"".join(masked(Mask(["never-to-be-seen"]), pieces)) == b"".join(pieces)


@pytest.mark.parametrize("at", range(1, len(SECRET)))
def test_a_secret_cut_in_two_is_never_seen(at: int) -> None:
    shown = masked(
        Mask([SECRET]), [b"token=" + SECRET[:at].encode(), SECRET[at:].encode() + b"\nnext\n"]
    )
    assert shown == [b"token=", b"***\nnext\n", b""]


def test_a_secret_that_comes_byte_by_byte_is_never_seen() -> None:
    text = b"a" + SECRET.encode() + b"b"
    shown = masked(Mask([SECRET]), [text[at : at + 1] for at in range(len(text))])
    assert b"".join(shown) == b"a***b"


def test_other_spellings_of_a_secret_are_hidden_too() -> None:
    text = b"x".join([base64.b64encode(b"user:" + SECRET.encode()), b"s3cr3t%2DT0ken"])
    shown = b"".join(masked(Mask([SECRET, "s3cr3t%2DT0ken"]), [text[:9], text[9:]]))
    assert shown.count(b"***") == 2
    assert base64.b64encode(SECRET.encode())[4:12] not in shown


def test_a_line_that_no_secret_can_begin_in_is_shown_at_once() -> None:
    assert masked(Mask([SECRET * 100]), [b"one\n", b"two\n"]) == [b"one\n", b"two\n", b""]


def test_a_secret_whose_end_was_cut_off_is_hidden_when_most_of_it_is_there() -> None:
    assert b"".join(masked(Mask([SECRET]), [b"token=s3cr3t-T0k"])) == b"token=***"
    assert b"".join(masked(Mask([SECRET]), [b"three times s3"])) == b"three times s3"


def test_secrets_that_overlap_are_hidden_as_one() -> None:
    shown = masked(Mask(["abcdef", "defghi"]), [b"<abcd", b"efg", b"hi>"])
    assert b"".join(shown) == b"<***>"
