"""The steps of one unit, as the engine asks for them: one after the other, planned when due."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from batchrun.model.job import RetryPolicy
from batchrun.model.outcome import Report
from batchrun.model.unit import Unit

__all__ = ["PlannedStep", "Section", "StepFailure", "UnitProgram"]


class Section(Enum):
    """Which list of steps."""

    STEPS = "steps"
    #: Run when one of `steps` has failed.
    RESCUE = "rescue"
    #: Run at the end in any case.
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailure:
    """What `rescue` and `always` may know of the step that failed."""

    #: Its name, or its operation.
    step: str
    #: The kind of its outcome.
    outcome: str
    #: Why, as a sentence.
    message: str
    exit_status: int | None = None
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One step, fully resolved."""

    #: Its name, or its operation.
    name: str
    #: What the runner gets; with a `verdict` it is not run.
    unit: Unit
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    ignore_errors: bool = False


class UnitProgram(Protocol):
    """The steps of one unit; called from the aggregator's thread, never blocks, never raises."""

    @property
    def rescue_ok(self) -> bool:
        """Whether a rescued unit counts as ok."""

    def count(self, section: Section) -> int:
        """Return how many steps a section has."""

    def restart(self) -> None:
        """Forget what the steps of an earlier attempt registered."""

    def plan(self, section: Section, at: int, failed: StepFailure | None) -> PlannedStep:
        """Resolve a step; a template that fails gives a unit with a `verdict`.

        Args:
            section: Which list.
            at: Position in it, from 0.
            failed: The step that failed, if one has.
        """

    def review(self, section: Section, at: int, report: Report) -> Report:
        """Take an attempt of a step in: `register`, `changed_when`; may change its outcome."""
