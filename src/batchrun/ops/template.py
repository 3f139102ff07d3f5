"""The operation `template`: a file from a template, which the job's reader has filled in."""

from dataclasses import dataclass
from typing import Annotated

from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.values import Doc, Mark, PathText
from batchrun.ops.textfiles import TextFields, check_text, put_text

__all__ = ["OPERATIONS", "Template", "template"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template(TextFields):
    """Parameters of `template`."""

    src: Annotated[PathText, Doc("The template: a text file, all of Jinja2.")]
    text: Annotated[
        str, Mark.GIVEN, Mark.MAY_HOLD_SECRET, Doc("What the template gives for this unit.")
    ] = ""


def template(params: Template, context: Context) -> Done:
    """Make a file hold what a template gives, whole or not at all."""
    return put_text(params, params.text, context)


OPERATIONS = {
    "template": Operation(
        name="template",
        summary="Make a file from a Jinja2 template.",
        params=Template,
        function=template,
        main="src",
        check=check_text,
        uses=(
            PathUse(field="src", effect="reads", whole=False),
            PathUse(field="dest", effect="changes", whole=False),
        ),
        example="""\
template:
  src: templates/nginx.conf
  dest: /etc/nginx/nginx.conf
  validate: [nginx, -t, -c, "{{ new }}"]
  backup: true
""",
    )
}
