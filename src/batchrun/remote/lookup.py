"""What the paths and patterns of a parameter stand for on a host."""

from collections.abc import Callable, Sequence

from batchrun.model.session import HostContext
from batchrun.model.values import Glob
from batchrun.ops.sudo import SudoValue
from batchrun.ops.targets import trimmed
from batchrun.remote.globs import expand_there

__all__ = ["look_up_there", "named_exactly"]


def named_exactly(sources: Sequence[str | Glob]) -> frozenset[str]:
    """Return which of what `look_up_there` returns was named as it is, whatever globs find."""
    return frozenset(trimmed(source) for source in sources if not isinstance(source, Glob))


def look_up_there(
    sources: Sequence[str | Glob],
    context: HostContext,
    sudo: SudoValue,
    missed: Callable[[str], None],
) -> list[str]:
    """Return what sources stand for, each path once; an exact path need not exist.

    Args:
        sources: Paths and patterns.
        context: The unit's.
        sudo: As whom.
        missed: Called with each pattern that matches nothing.
    """
    found: dict[str, None] = {}
    for source in sources:
        if isinstance(source, Glob):
            paths = expand_there(source, context, sudo)
            if not paths:
                missed(source.pattern)
            found.update(dict.fromkeys(paths))
        else:
            found[trimmed(source)] = None
    return list(found)
