"""The warnings of units, folded by task and sentence; its size has a limit, whatever happens."""

from collections.abc import Callable, Iterator

from batchrun.model.event import UnitEnded
from batchrun.report.failures import fold_sentence
from batchrun.report.text import count, shorten, visible
from batchrun.report.who import who

__all__ = ["Warnings"]

_SHOWN = 20
_COLUMNS = 1000


class Warnings:
    """Counts warnings that are alike; of the first twenty different ones also the text.

    Args:
        task_name: Returns the name for people of a task.
    """

    def __init__(self, task_name: Callable[[str], str]) -> None:
        self._task_name = task_name
        #: Task and sentence without the item -> how often, and the first as it is shown.
        self._warnings: dict[tuple[str, str], tuple[int, str]] = {}
        self._left_out = 0

    def add(self, event: UnitEnded) -> None:
        """Take the warnings of a unit."""
        unit = event.unit
        for sentence in event.report.warnings:
            key = (unit.task_id, fold_sentence(sentence[:_COLUMNS], unit))
            number, text = self._warnings.get(key, (0, ""))
            if not number:
                if len(self._warnings) >= _SHOWN:
                    self._left_out += 1
                    continue
                text = self._text(event, sentence)
            self._warnings[key] = (number + 1, text)

    def sentences(self) -> Iterator[str]:
        """Write each of them for people, then how many there are besides."""
        for number, text in self._warnings.values():
            yield text if number == 1 else f"{text} ({count(number)} times alike)"
        if self._left_out:
            yield f"and {count(self._left_out)} more warnings"

    def _text(self, event: UnitEnded, sentence: str) -> str:
        """Write a unit's warning with where it comes from."""
        label = visible(who(event.unit)[:_COLUMNS])
        message = shorten(visible(sentence[:_COLUMNS]), _COLUMNS)
        item = f"{label}: " if label and label not in message else ""
        return f"{self._task_name(event.unit.task_id)}: {item}{message}"
