"""`WorkerPool`: the contract of multiprocessing.Pool, and the engine's Runner, over one loop."""

import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Mapping
from multiprocessing.util import Finalize
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from batchrun.engine.cpus import usable_cpus
from batchrun.engine.pool.calls import FunctionCall, Functions, UnitCall
from batchrun.engine.pool.loop import PoolLoop
from batchrun.engine.pool.result import AsyncResult
from batchrun.engine.unit import Raised, guarded
from batchrun.model.outcome import Failed
from batchrun.model.ports import RunnerEvent
from batchrun.model.unit import Order, RunSettings

__all__ = ["WorkerPool"]

#: Before the children are joined at exit, which multiprocessing does at priority 0.
_EXIT_PRIORITY = 15


class WorkerPool:
    """Worker processes that run functions and units; one that dies costs only what it ran.

    As `multiprocessing.Pool`, with these differences: a call whose worker dies ends with
    WorkerLostError, an error or a value that cannot be pickled with WorkerTaskError, and calls
    that `terminate` cuts off with WorkerLostError instead of never.

    Args:
        processes: How many workers at most; None: as many as this process may use CPUs.
        settings: What is the same for all units; needed for units only.
        events: Where Started, Report and the other events of units go.
        table: `module:ATTRIBUTE` of the operations, imported in the workers when first needed.

    Raises:
        ValueError: fewer than one process.
        RuntimeError: made in a daemonic process, which may not have children, or by a main file
            that every new worker imports and so would make workers without end.
    """

    def __init__(
        self,
        processes: int | None = None,
        *,
        settings: RunSettings | None = None,
        events: SimpleQueue[RunnerEvent] | None = None,
        table: str = "batchrun.ops:OPERATIONS",
    ) -> None:
        if processes is None:
            processes = usable_cpus()
        if processes < 1:
            message = "Number of processes must be at least 1"
            raise ValueError(message)
        # Set while a new worker imports the program's main file, as the spawn method must.
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            message = (
                "a worker process imports the main file of the program, and that file makes worker "
                'processes: put what it runs below `if __name__ == "__main__":`'
            )
            raise RuntimeError(message)
        if multiprocessing.current_process().daemon:
            message = "a worker process cannot have workers: daemonic processes have no children"
            raise RuntimeError(message)
        self._processes = processes
        #: Where the events of units go.
        self.events: SimpleQueue[RunnerEvent] = SimpleQueue() if events is None else events
        self._ids = itertools.count(1)
        self._functions = Functions()
        self._running = True
        self._loop = PoolLoop(processes, settings or _own_settings(), table)
        # Also runs when the user has forgotten the pool: when it is collected, or at exit.
        self._finalize = Finalize(self, self._loop.kill, exitpriority=_EXIT_PRIORITY)

    # The contract of multiprocessing.Pool.

    def apply(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function in a worker and wait for its value."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """Call a function in a worker.

        Callbacks run in the pool's thread, before the result is ready, and must not block. What
        cannot be pickled ends this call only, through its result.

        Raises:
            ValueError: the pool was closed.
        """
        self._check_running()
        result = AsyncResult(self)
        call = FunctionCall(next(self._ids), result, callback, error_callback)
        packed = guarded(call.pack, (self._functions, func, tuple(args), kwds or {}))
        if packed is None:
            self._loop.submit(call)
        else:
            self._loop.post(lambda: call.fail(packed.error))
        return result

    def close(self) -> None:
        """Take no more; workers end when all is done.

        Returns at once while calls are unanswered (see `join`), else when the workers are gone.
        """
        self._running = False
        self._loop.close()

    def terminate(self) -> None:
        """End all workers now, whatever they do."""
        self.kill()

    def join(self) -> None:
        """Wait until all workers are gone.

        Raises:
            ValueError: neither `close` nor `terminate` was called.
        """
        if self._running:
            message = "Pool is still running"
            raise ValueError(message)
        self._loop.thread.join()

    def __enter__(self) -> Self:
        self._check_running()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.terminate()

    # The Runner.

    @property
    def slots(self) -> int:
        """How many units it can run at the same time."""
        return self._processes

    def submit(self, order: Order) -> None:
        """Take an order; it is answered with exactly one Report or Returned.

        Emits:
            Started, UnitOutput and UnitProgress, Report; Started not for orders with
            `expected_s`, which may wait behind others in a worker.

        Raises:
            ValueError: the pool was closed.
        """
        self._check_running()
        call = UnitCall(next(self._ids), order, self.events)
        packed = guarded(call.pack)
        if isinstance(packed, Raised):
            message = f"its parameters cannot be sent to a worker: {packed.error}"
            call.end(Failed(message=message, retryable=False), "")
        else:
            self._loop.submit(call)

    def stop(self, number: int) -> None:
        """End a unit: TERM, grace, KILL; asked a second time, at once."""
        self._loop.stop(number)

    def withdraw(self) -> None:
        """Give back, as Returned, every order submitted so far that no worker has begun."""
        self._loop.withdraw(next(self._ids))

    def acknowledge(self, number: int, size_bytes: int) -> None:
        """Say that this much live output of a unit has been shown."""
        self._loop.acknowledge(number, size_bytes)

    def kill(self) -> None:
        """End everything now; no events come any more."""
        self._running = False
        self._loop.kill()

    def _check_running(self) -> None:
        if not self._running:
            message = "Pool not running"
            raise ValueError(message)


def _own_settings() -> RunSettings:
    """Make settings for a pool of functions; they only matter to units."""
    return RunSettings(run_id=f"pool-{os.getpid()}-{time.time_ns():x}", base_dir=os.getcwd())
