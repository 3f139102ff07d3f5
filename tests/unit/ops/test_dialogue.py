"""What is said to sudo, and when: never the password too early, never twice, never for ever."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.ops.dialogue import Dialogue, Words

WORDS = Words(prompt=b"batchrun-0123", ready=(b"4567", b"89ab"))
PROMPT, READY = b"batchrun-0123", b"456789ab\n"


@dataclass(kw_only=True)
class Stage:
    """A dialogue, its clock, and a pipe into which it speaks."""

    now: float = 100.0
    seen: bytes = b""
    pipe: tuple[int, int] = field(default_factory=os.pipe)
    dialogue: Dialogue = field(init=False)

    def __post_init__(self) -> None:
        os.set_blocking(self.pipe[0], False)
        os.set_blocking(self.pipe[1], False)
        self.dialogue = Dialogue(WORDS, b"pass word", (b"ENV;", b"IN"), lambda: self.now)

    def hear(self, data: bytes) -> bytes:
        """Say something as sudo would; return the answer."""
        self.seen += self.dialogue.hear(data)
        self.dialogue.speak(partial(os.write, self.pipe[1]))
        return self.said()

    def state(self) -> tuple[bool, bool]:
        """Tell whether the shell was reached, and whether all is said."""
        return self.dialogue.reached_shell, self.dialogue.is_over

    def said(self) -> bytes:
        try:
            return os.read(self.pipe[0], 1_000_000)
        except BlockingIOError:
            return b""

    def wait(self) -> bool:
        """Let time pass until something is due, and look."""
        due_at = self.dialogue.due_at()
        assert due_at is not None
        self.now = due_at
        return self.dialogue.look()


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    for fd in made.pipe:
        os.close(fd)


def test_each_word_has_its_answer_and_none_is_seen(stage: Stage) -> None:
    assert stage.said() == b""
    assert stage.hear(PROMPT) == b"pass word\n"
    assert stage.state() == (False, False)
    assert stage.hear(READY) == b"ENV;"
    assert stage.state() == (True, False)
    assert stage.hear(READY) == b"IN"
    assert stage.state() == (True, True)
    assert stage.hear(b"said " + PROMPT + READY) == b""
    assert stage.seen == b"said " + PROMPT + READY  # by the command: nobody listens any more


def test_without_a_question_the_password_is_not_given(stage: Stage) -> None:
    assert stage.hear(b"warned\n" + READY) == b"ENV;"
    assert stage.hear(PROMPT) == b""
    assert stage.hear(READY) == b"IN"
    assert stage.seen == b"warned\n"


def test_asked_again_after_a_word_of_reproach_the_password_was_wrong(stage: Stage) -> None:
    stage.hear(b"A lecture.\n\n" + PROMPT)
    assert stage.hear(b"Sorry, try again.\n") == b""
    assert stage.hear(PROMPT) == b""
    assert stage.dialogue.trouble == "the password was not accepted"
    assert stage.dialogue.is_over
    assert stage.hear(b"\nsudo: no password\n") == b""
    assert stage.seen == b"A lecture.\n\nSorry, try again.\nsudo: no password\n"


def test_asked_again_without_a_word_something_else_is_wanted(stage: Stage) -> None:
    stage.hear(PROMPT)
    assert stage.hear(b"\n" + PROMPT) == b""
    assert stage.dialogue.trouble == "it asks for more than the password"


def test_a_prompt_around_ours_is_not_seen(stage: Stage) -> None:
    assert stage.hear(b"[sudo: " + PROMPT + b"] Password: ") == b"pass word\n"
    assert stage.hear(b"\n" + READY) == b"ENV;"
    stage.hear(READY)
    assert stage.seen == b""


def test_another_prompt_is_waited_for_shortly_and_quoted(stage: Stage) -> None:
    assert stage.hear(b"hello\nPasscode: ") == b""
    assert stage.seen == b"hello\n"
    assert stage.wait()
    assert stage.now == 105.0
    assert stage.dialogue.trouble == "it asks for something else than the password: 'Passcode:'"
    assert stage.dialogue.is_over
    assert stage.dialogue.flush() == b"Passcode: "


def test_silence_is_waited_for_a_minute_and_then_left(stage: Stage) -> None:
    stage.hear(PROMPT)
    assert stage.wait()
    assert stage.now == 160.0
    assert stage.dialogue.trouble == (
        "it neither asked for the password nor began the command in 60 s"
    )
    assert not stage.wait()
    assert stage.now == 170.0


def test_before_its_time_nothing_is_given_up(stage: Stage) -> None:
    stage.now = 159.0
    assert stage.dialogue.look()
    assert stage.dialogue.trouble == ""
    stage.hear(b"still there\n")
    assert stage.dialogue.due_at() == 219.0


def test_what_the_shell_does_has_as_much_time_as_it_likes(stage: Stage) -> None:
    stage.hear(READY)
    assert stage.dialogue.due_at() is None
    assert stage.dialogue.look()


def test_after_it_was_given_up_a_shell_gets_nothing(stage: Stage) -> None:
    stage.wait()
    assert stage.hear(READY) == b""
    assert stage.dialogue.trouble
    assert not stage.wait()


def test_a_command_line_that_is_quoted_is_no_answer_and_shows_no_word(stage: Stage) -> None:
    stage.hear(PROMPT)
    assert stage.hear(b"not allowed to run 'sh / 4567 89ab id'\n") == b""
    assert not stage.dialogue.reached_shell
    assert stage.seen == b"not allowed to run 'sh / id'\n"


def test_a_reader_who_has_gone_ends_it(stage: Stage) -> None:
    reading, stage.pipe = stage.pipe[0], (os.open(os.devnull, os.O_RDONLY), stage.pipe[1])
    os.close(reading)
    stage.dialogue.hear(PROMPT)
    stage.dialogue.speak(partial(os.write, stage.pipe[1]))
    assert stage.dialogue.is_over


def test_a_long_input_goes_as_fast_as_it_is_read(stage: Stage) -> None:
    long = os.urandom(300_000)
    stage.dialogue = Dialogue(WORDS, b"x", (b"ENV;", long), lambda: stage.now)
    stage.hear(READY)
    pieces = [stage.hear(READY)]
    assert 0 < len(pieces[0]) < len(long)
    while stage.dialogue.wants_to_speak:
        assert stage.state() == (True, False)
        stage.dialogue.speak(partial(os.write, stage.pipe[1]))
        pieces.append(stage.said())
    assert b"".join(pieces) == long
    assert stage.state() == (True, True)


def test_a_line_without_end_is_not_kept_whole(stage: Stage) -> None:
    for _ in range(100):
        stage.hear(b"x" * 1000)
    assert len(stage.dialogue.flush()) <= 5096


def test_words_are_new_each_time_and_expand_to_themselves() -> None:
    one, other = Words.fresh(), Words.fresh()
    assert one.prompt != other.prompt
    assert not {one.ready, other.ready} & {(one.ready[1], one.ready[0])}
    assert b"%" not in one.prompt + one.ready[0] + one.ready[1]


BEFORE = b"warning\nLecture.\n\n" + PROMPT
AFTER = b"Sorry\n" + READY + b"cd: oops\n" + READY + b"of it\nend"
TALK = BEFORE + AFTER


@given(st.lists(st.integers(0, len(TALK))))
def test_it_does_not_matter_how_it_is_cut(cuts: list[int]) -> None:
    stage = Stage()
    try:
        # After a prompt sudo waits: nothing that follows comes in the same piece.
        at = sorted({0, len(BEFORE), *cuts, len(TALK)})
        answers = b"".join(stage.hear(TALK[start:end]) for start, end in pairwise(at))
        assert answers == b"pass word\nENV;IN"
        assert stage.seen == b"warning\nLecture.\n\nSorry\ncd: oops\nof it\nend"
    finally:
        for fd in stage.pipe:
            os.close(fd)
