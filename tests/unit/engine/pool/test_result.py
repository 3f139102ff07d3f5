"""An AsyncResult keeps the contract of multiprocessing."""

import multiprocessing

import pytest

from batchrun.engine.pool.result import AsyncResult, RemoteTraceback


def test_an_unanswered_result_is_not_ready_and_not_successful() -> None:
    result = AsyncResult(None)
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(0)
    result.wait(0)


def test_a_value_can_be_had_again_and_again() -> None:
    result = AsyncResult(None)
    result.settle([1], success=True)
    assert result.ready()
    assert result.successful()
    assert result.get() is result.get(0)


def test_an_error_is_raised() -> None:
    result = AsyncResult(None)
    result.settle(KeyError("k"), success=False)
    assert not result.successful()
    with pytest.raises(KeyError):
        result.get()


def test_a_remote_traceback_stands_apart() -> None:
    assert str(RemoteTraceback("text\n")) == '\n"""\ntext\n"""'
