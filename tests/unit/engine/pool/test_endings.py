"""The end of a worker, in words."""

import pytest

from batchrun.engine.pool.endings import exit_text


@pytest.mark.parametrize(
    ("exitcode", "text"),
    [
        (0, "worker-1 ended with exit status 0"),
        (-11, "worker-1 was killed by signal 11 (SIGSEGV)"),
        (-40, "worker-1 was killed by signal 40"),
    ],
)
def test_an_exit_code_becomes_words(exitcode: int, text: str) -> None:
    assert exit_text("worker-1", exitcode) == text


def test_a_status_that_other_code_has_taken_is_said_to_be_so() -> None:
    assert "was taken" in exit_text("worker-1", None)
