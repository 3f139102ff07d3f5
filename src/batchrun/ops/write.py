"""The operation `write`: a file from text."""

from dataclasses import dataclass
from typing import Annotated

from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.values import Doc, Mark
from batchrun.ops.textfiles import TextFields, check_text, put_text

__all__ = ["OPERATIONS", "Write", "write"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write(TextFields):
    """Parameters of `write`."""

    text: Annotated[str, Mark.MAY_HOLD_SECRET, Doc("What the file shall hold.")]


def write(params: Write, context: Context) -> Done:
    """Make a file hold a text, whole or not at all."""
    return put_text(params, params.text, context)


OPERATIONS = {
    "write": Operation(
        name="write",
        summary="Make a file hold a text.",
        params=Write,
        function=write,
        main="dest",
        check=check_text,
        uses=(PathUse(field="dest", effect="changes", whole=False),),
        example="""\
write:
  dest: /etc/sudoers.d/deploy
  text: "deploy ALL=(root) NOPASSWD: /usr/bin/systemctl reload nginx\\n"
  mode: 0440
  validate: [visudo, -cf, "{{ new }}"]
""",
    )
}
