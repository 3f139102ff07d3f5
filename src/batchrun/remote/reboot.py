"""The operation `reboot`: the host is booted anew, and has come back."""

import time
from dataclasses import dataclass, field
from typing import Annotated

from batchrun.errors import OperationError, UnitStoppedError, UnreachableError
from batchrun.model.operation import Done, Operation
from batchrun.model.outcome import TimedOut
from batchrun.model.session import HostContext
from batchrun.model.values import Doc, PathText, Seconds, ShellText
from batchrun.ops.failures import refusal
from batchrun.ops.launch import argv_of
from batchrun.ops.paths import shown
from batchrun.ops.spawn import encode
from batchrun.remote.errand import SudoField, ask
from batchrun.remote.identity import unit_env
from batchrun.remote.polling import Polling, unreached
from batchrun.remote.talk import BrokenError
from batchrun.remote.within import Within
from batchrun.remote.words import path_word, words

__all__ = ["OPERATIONS", "Reboot", "reboot"]

_LIMIT_S = 600.0
#: The command begins the reboot; when it has not ended by then, the machine is on its way down.
_COMMAND_S = 60.0
#: An answer of a machine that is up takes no longer.
_LOOK_S = 15.0
_DEFAULT = "systemctl reboot || shutdown -r now || reboot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reboot:
    """Parameters of `reboot`."""

    command: Annotated[
        ShellText | tuple[str, ...],
        Doc("What reboots it: a text for the shell there, or a program with its arguments."),
    ] = _DEFAULT
    boot_id: Annotated[
        PathText,
        Doc("A file on the host that says something else after each boot."),
    ] = "/proc/sys/kernel/random/boot_id"
    every: Annotated[Seconds, Doc("How long to wait between two looks.")] = 2.0
    sudo: SudoField = field(default=False, repr=False)


def reboot(params: Reboot, context: HostContext) -> Done:
    """Reboot the host, and wait until it is back with a new boot id."""
    before = _boot_id(params, context)
    if not before:
        raise refusal(
            f"{shown(params.boot_id)} on {context.host.name} says nothing, so that it could not "
            "be seen whether the host was booted anew; name another file in `boot_id`"
        )
    if context.settings.dry_run:
        return Done.changed(note="would reboot")
    began = time.monotonic()
    context.stage("rebooting")
    _begin(params, context)
    context.stage("waiting for the reboot")
    polling = Polling(context, params.every, _LIMIT_S)
    reason = "it still answers with the old boot id"
    while polling.goes_on():
        try:
            now = _boot_id(params, Within(context, _LOOK_S))
        except UnitStoppedError as stopped:
            if not stopped.timed_out:
                raise
            if not polling.is_over():
                reason = "it does not answer"
        except (UnreachableError, OperationError, BrokenError) as error:
            reason = unreached(error)
        else:
            if now and now != before:
                return Done.changed(note=f"back after {time.monotonic() - began:.0f} s")
            reason = "it still answers with the old boot id"
    return Done(outcome=TimedOut(limit_s=polling.limit_s, note=reason))


def _begin(params: Reboot, context: HostContext) -> None:
    """Run the command; that the connection breaks meanwhile is what is meant to happen.

    Raises:
        OperationError: the host said no.
    """
    argv = argv_of(params.command)
    text = b"exec " + words(*(encode(word, "An argument of the command") for word in argv))
    try:
        limited = Within(context, _COMMAND_S)
        answer = ask(text, limited, params.sudo, env=unit_env(context))
    except BrokenError:
        return
    except UnitStoppedError:
        context.check()
        return
    if answer.status:
        said = f": {answer.complaint}" if answer.complaint else ""
        message = (
            f"{context.host.name} was not rebooted: the command ended with exit status "
            f"{answer.status}{said}"
        )
        raise OperationError(message)


def _boot_id(params: Reboot, context: HostContext) -> bytes:
    text = b"cat -- %b 2>/dev/null || sysctl -n kern.boottime 2>/dev/null" % path_word(
        params.boot_id
    )
    return ask(text, context).stdout.strip()


OPERATIONS = {
    "reboot": Operation(
        name="reboot",
        summary="Reboot the host and wait until it is back.",
        params=Reboot,
        function=reboot,
        main="command",
        repeatable=False,
        example="""\
reboot: {}
hosts: "@web"
sudo: true
removes: /run/reboot-required
batch: 1
""",
    )
}
