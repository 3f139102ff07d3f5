"""What to say of a dead worker, and how what it has left behind is ended."""

import signal
import threading
from collections.abc import Callable

from batchrun.model.around import Around
from batchrun.model.unit import Order, RunSettings

__all__ = ["end_command_aside", "end_unit", "exit_text"]


def exit_text(name: str, exitcode: int | None) -> str:
    """Say how a worker process ended.

    >>> exit_text("worker-3", -9)
    'worker-3 was killed by signal 9 (SIGKILL)'
    >>> exit_text("worker-1", 3)
    'worker-1 ended with exit status 3'
    """
    if exitcode is None:
        return f"{name} ended, and its exit status was taken by other code of this program"
    if exitcode >= 0:
        return f"{name} ended with exit status {exitcode}"
    try:
        known = f" ({signal.Signals(-exitcode).name})"
    except ValueError:
        known = ""
    return f"{name} was killed by signal {-exitcode}{known}"


def end_command_aside(
    pid: int | None,
    order: Order,
    settings: RunSettings,
    grace_s: float,
    then: Callable[[], None],
) -> None:
    """End a dead worker's command in a small thread of its own, which may take the whole grace.

    Args:
        pid: Leader of the command's process group, if that was announced.
        order: What the worker was running.
        settings: Of the run.
        grace_s: Between TERM and KILL.
        then: Called from that thread afterwards, in any case.
    """
    threading.Thread(
        target=_end_command, args=(pid, order, settings, grace_s, then), name="end-command",
        daemon=True,
    ).start()  # fmt: skip


def _end_command(
    pid: int | None,
    order: Order,
    settings: RunSettings,
    grace_s: float,
    then: Callable[[], None],
) -> None:
    try:
        end_unit(pid, order, settings, grace_s)
    finally:
        then()


def end_unit(pid: int | None, order: Order, settings: RunSettings, grace_s: float) -> None:
    """End the command of a unit that nobody watches any more, and remove what it was writing.

    Args:
        pid: Leader of the command's process group, if that is known.
        order: The unit.
        settings: Of the run.
        grace_s: Between TERM and KILL.
    """
    from batchrun.ops.processes import cookie, end_command  # noqa: PLC0415  # only after a death

    mark = cookie(settings.run_id, order.number, order.attempt)
    others = None
    if sudo := order.unit.params.get("sudo"):
        from batchrun.ops.others import others_of  # noqa: PLC0415  # likewise

        others = others_of(sudo, order.secrets, mark)
    end_command(pid, mark, grace_s, others=others)
    if order.unit.around is not None:
        from batchrun.ops.outputfile import discard_output  # noqa: PLC0415  # likewise

        around: Around | None = order.unit.around
        if order.secrets:
            from batchrun.engine.hiding import filled_in  # noqa: PLC0415  # likewise

            _, around = filled_in({}, around, order.secrets)
        discard_output(around, settings.base_dir)
