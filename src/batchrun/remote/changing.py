"""Change owner and mode of files on a host, and say what changes."""

from collections.abc import Sequence

from batchrun.errors import OperationError
from batchrun.model.session import HostContext
from batchrun.ops.failures import Tally
from batchrun.ops.owners import Change
from batchrun.ops.paths import shown
from batchrun.ops.sudo import NO_SUDO, SudoValue
from batchrun.remote.errand import ask
from batchrun.remote.facts import Facts, facts_after
from batchrun.remote.words import path_word

__all__ = ["change_files", "change_text", "must"]


def must(text: bytes, doing: str, context: HostContext, sudo: SudoValue = NO_SUDO) -> bytes:
    """Run a text there that has to succeed; return what it says.

    Args:
        text: For sh(1).
        doing: What for, as in `cannot make the directory /srv/x`.
        context: The unit's.
        sudo: As whom.

    Raises:
        OperationError: it did not.
    """
    answer = ask(text, context, sudo)
    if answer.status:
        reason = answer.complaint or f"exit status {answer.status}"
        message = f"cannot {doing} on {context.host.name}: {reason}"
        raise OperationError(message)
    return answer.stdout


def change_text(word: bytes, facts: Facts, change: Change) -> bytes:
    """Return the commands that change one file, joined by `&&`."""
    steps = []
    owner = (b"" if change.uid == -1 else b"%d" % change.uid) + (
        b"" if change.gid == -1 else b":%d" % change.gid
    )
    if owner:
        steps.append(b"chown -h %b -- %b" % (owner, word))
    if change.mode is not None and not facts.is_link:
        steps.append(b"chmod %04o -- %b" % (change.mode, word))
    return b" && ".join(steps) or b":"


def change_files(
    changes: Sequence[tuple[str, Facts, Change]],
    context: HostContext,
    sudo: SudoValue,
    tally: Tally,
) -> None:
    """Give files owner and mode, or say that this would be done.

    Raises:
        OperationError: one of them could not be changed.
    """
    for path, facts, change in changes:
        tally.changed = True
        if context.settings.diff:
            from batchrun.ops.diff import facts_diff  # noqa: PLC0415 - only where it is asked for

            before, after = facts.said(), facts_after(facts, change).said()
            pairs = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
            tally.differ(facts_diff(path, [one for one, _ in pairs], [two for _, two in pairs]))
        if not context.settings.dry_run:
            text = change_text(path_word(path), facts, change)
            must(text, f"set the owner and mode of {shown(path)}", context, sudo)
