"""What a command on a host is told about the unit that it belongs to."""

from batchrun.model.session import HostContext
from batchrun.ops.spawn import encode

__all__ = ["unit_env"]


def unit_env(context: HostContext) -> dict[bytes, bytes]:
    """Return the variables that batchrun sets for a command on a host."""
    environment = {
        b"BATCHRUN_RUN": encode(context.settings.run_id, "The id of the run"),
        b"BATCHRUN_TASK": encode(context.task_id, "The id of the task"),
        b"BATCHRUN_HOST": encode(context.host.name, "The name of the host"),
        b"BATCHRUN_ATTEMPT": b"%d" % context.attempt,
    }
    if context.label:
        environment[b"BATCHRUN_ITEM"] = encode(context.label, "The item")
    return environment
