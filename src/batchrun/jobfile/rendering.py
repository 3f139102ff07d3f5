"""One operation resolved for one unit: its parameters, and what stands around them."""

import os.path
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from batchrun.jobfile.compiled import Compiled, Constant
from batchrun.jobfile.fleet import Fleet
from batchrun.jobfile.paths import absolute
from batchrun.jobfile.plan import Condition, OutputPlan, Work
from batchrun.jobfile.problems import Path
from batchrun.jobfile.records import UnknownUntilRunError
from batchrun.jobfile.results import Results
from batchrun.jobfile.scope import Names
from batchrun.model.around import Around, OutputFile
from batchrun.model.host import Host
from batchrun.model.outcome import Failed, Skipped
from batchrun.model.ports import Earlier

__all__ = [
    "Desk",
    "Rendered",
    "Rendering",
    "output_token",
    "skipped_unknown",
    "temporary_name",
    "wrong_output",
]

#: What a guard that is a command gets of its unit.
_OF_COMMAND = ("env", "cwd", "shell", "sudo")
#: A longer suffix is no type of a file, and could make the name too long.
_LONGEST_SUFFIX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What all streams of a run share."""

    run_id: str
    #: Commands are not run; their results are not known.
    dry_run: bool
    base_dir: str
    results: Results
    #: The hosts that are known.
    fleet: Fleet
    #: The semaphores of the job.
    limits: Mapping[str, int]
    #: Writes `FILE:LINE: PATH`, for templates that fail.
    where: Callable[[Path], str]
    #: Units are told apart from run to run: each gets an identity.
    identifies: bool = False
    #: What became of units in the runs that this one goes on with; None: it begins anew.
    earlier: Earlier | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What came of it; with a verdict, nothing but that."""

    params: Mapping[str, Any] = field(default_factory=dict)
    around: Around | None = None
    #: Of a step with `delegate_to`: where it runs; None: on this machine.
    place: Host | None = None
    verdict: Skipped | Failed | None = None


class Rendering:
    """Resolves a piece of work in one scope after the other."""

    def __init__(self, work: Work, desk: Desk) -> None:
        self._work = work
        self._desk = desk
        #: What is being resolved, for messages.
        self.place: Path = work.entry.path

    def resolve(self, names: Names, index: int) -> Rendered:
        """Resolve everything; whatever goes wrong becomes a verdict."""
        work = self._work
        try:
            if (
                work.frame.when is not None
                and (skipped := self.skipped(work.frame.when, names)) is not None
            ):
                return Rendered(verdict=skipped)
            output = self.output(names, index)
            params = self.params(names)
            around = self.around(names, params, output)
            return Rendered(params=params, around=around, place=self._delegated(names))
        except ValueError as error:
            return Rendered(verdict=self.failed(error))
        except UnknownUntilRunError as error:
            return Rendered(verdict=skipped_unknown(error))

    def _delegated(self, names: Names) -> Host | None:
        delegate = self._work.delegate
        if delegate is None:
            return None
        self.place = delegate.place
        return delegate.find(names, self._desk.fleet.inventory)

    def failed(self, error: ValueError) -> Failed:
        """Say what could not be resolved, and where it is written."""
        return Failed(message=f"{self._desk.where(self.place)}: {error}", retryable=False)

    def skipped(self, condition: Condition, names: Names) -> Skipped | None:
        """Look whether `when` is false.

        Raises:
            ValueError: it cannot be computed.
            UnknownUntilRunError: it uses what a dry run cannot know.
        """
        self.place = (*self._work.entry.path, "when")
        if condition.compute(names):
            return None
        return Skipped(because=f"when: {condition.source} is false")

    def params(self, names: Names) -> dict[str, Any]:
        """Render the parameters.

        Raises:
            ValueError: one of them cannot be computed, or does not fit.
            UnknownUntilRunError: it uses what a dry run cannot know.
        """
        params = dict(self._work.constants)
        for name, place, render in self._work.computed:
            self.place = place
            params[name] = render(names)
        return params

    def output(self, names: Names, index: int) -> OutputFile | None:
        """Find the output file, and let the command know its temporary name.

        Raises:
            ValueError: its path cannot be computed.
            UnknownUntilRunError: it uses what a dry run cannot know.
        """
        plan = None if self._work.frame.around is None else self._work.frame.around.output
        if plan is None:
            return None
        self.place = plan.place
        path = str(_value(plan.path, names))
        wrong = wrong_output(path, on_host=self._work.on_host)
        if wrong:
            raise ValueError(wrong)
        token = output_token(self._desk.run_id, plan.number)
        temporary = temporary_name(path, f"{token}.{index}")
        names["output"] = temporary
        return OutputFile(path=path, temporary=temporary, sources=self._sources(plan, names))

    def _sources(self, plan: OutputPlan, names: Names) -> tuple[str, ...]:
        if plan.newer_than is not None:
            return tuple(map(str, _value(plan.newer_than, names)))
        # `get` would not look into the outer scope.
        item = names["item"] if "item" in names else None  # noqa: SIM401 - see above
        if not isinstance(item, str) or not item or "\0" in item:
            return ()
        return (absolute("" if self._work.on_host else self._desk.base_dir, item),)

    def around(
        self, names: Names, params: Mapping[str, Any], output: OutputFile | None
    ) -> Around | None:
        """Render what stands around the operation.

        Raises:
            ValueError: some of it cannot be computed.
            UnknownUntilRunError: it uses what a dry run cannot know.
        """
        plan = self._work.frame.around
        if plan is None:
            return None
        fields = dict(plan.constants)
        for name, place, render in plan.computed:
            self.place = place
            fields[name] = render(names)
        looks = output is not None or not fields.keys().isdisjoint(("creates", "removes"))
        # Its user may look where we may not.
        if plan.has_command or (looks and params.get("sudo")):
            fields["command"] = {key: params[key] for key in _OF_COMMAND if key in params}
        return Around(output=output, **fields)


def skipped_unknown(error: UnknownUntilRunError) -> Skipped:
    """End what a dry run cannot go on with."""
    return Skipped(because=str(error), is_unknown=True)


def _value(compiled: Compiled, names: Names) -> Any:
    return compiled.value if isinstance(compiled, Constant) else compiled(names)


def output_token(run_id: str, number: int) -> str:
    """Return what the temporary names of one `output` have in common; its index follows."""
    return f"{run_id}-o{number}"


def wrong_output(path: str, *, on_host: bool) -> str:
    """Say why a path cannot be that of an output file; empty: it can."""
    if path.endswith("/"):
        return f"`output` names one file, and {path!r} is a directory; write the file's name"
    if on_host and not path.startswith("/"):
        # The command may be in another directory, and its shell takes a quoted `~` for a name.
        return f"on a host `output` must be an absolute path, not {path!r}"
    return ""


def temporary_name(path: str, unique: str) -> str:
    """Make the name under which a file is written before it gets its own.

    Programs choose a format by the suffix, so it is kept; `.tar.gz` is one suffix.

    >>> temporary_name("/srv/dump.tar.gz", "run-1")
    '/srv/.br-run-1.tar.gz'
    """
    directory, slash, name = path.rpartition("/")
    stem, suffix = os.path.splitext(name)
    if os.path.splitext(stem)[1] == ".tar":
        suffix = f".tar{suffix}"
    if len(suffix) > _LONGEST_SUFFIX:
        suffix = ""
    return f"{directory}{slash}.br-{unique}{suffix}"
