"""Verify a manifest: every file that it names has the checksum that stands there."""

import os
from collections.abc import Iterator
from dataclasses import replace
from math import inf

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done
from batchrun.model.outcome import Ok
from batchrun.model.tree import Spread
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.hashing import USUAL_SIZE, Hasher, Job
from batchrun.ops.manifest import parsed
from batchrun.ops.paths import shown
from batchrun.ops.tree.crawl import Listed, Node, begin, crawl, root_node
from batchrun.ops.tree.forest import Forest
from batchrun.ops.tree.parcels import FILES, Answer, Payload

__all__ = ["VerifyForest", "verify", "verify_chunk"]


class _Verifier(Hasher):
    """Compares files with the lines of a manifest, which stands in for a directory of names."""

    def __init__(self, job: Job, context: Context, tally: Tally) -> None:
        super().__init__(job, context, tally)
        self._directory = os.path.dirname(job.manifest)
        #: Lines that name a file.
        self.found = 0

    def listed(self, node: Node) -> Iterator[Listed]:  # noqa: ARG002 - there is one manifest
        """Yield the lines of the manifest."""
        try:
            with open(self._job.dest, "rb") as lines:
                for number, line in enumerate(lines, 1):
                    entry = parsed(line, self.digits)
                    if entry is None:
                        where = f"{shown(self._job.dest)}:{number}"
                        what = f"is not a line of {self._job.algorithm} checksums"
                        self.tally.fail(refusal(f"{where} {what}"))
                        continue
                    self.found += 1
                    yield f"{entry[0]} {entry[1]}", FILES
        except OSError as error:
            raise failure(error, "read", self._job.dest) from error

    def files(self, node: Node, names: list[str]) -> int:  # noqa: ARG002 - see `listed`
        """Verify some files; each name is a checksum and a path."""
        before = self.tally.bytes_done
        self.tally.files_done += len(names)
        for line in names:
            wanted, _, name = line.partition(" ")
            path = os.path.join(self._directory, name)
            self.context.check()
            try:
                found = self.of(path)
            except FileNotFoundError as error:
                self.tally.find(failure(error, "verify", path))
                continue
            except OSError as error:
                self.tally.fail(failure(error, "verify", path))
                continue
            if found != wanted:
                message = f"{shown(path)} has another checksum than the manifest says"
                self.tally.find(OperationError(message))
        return len(names) + (self.tally.bytes_done - before) // USUAL_SIZE


class VerifyForest(Forest):
    """Files that many workers verify."""

    def result(self) -> Done:
        """Return how it ended, with how many there were."""
        return self.tally.done(note=f"{self.config[1]} files verified")


def verify_chunk(payload: Payload, context: Context) -> Done:
    """Verify some files."""
    (config, _), deaths, items, _ = payload
    tally = Tally()
    with _Verifier(Job(*config), context, tally) as verifier:
        rest = crawl(items, verifier, 1 if deaths else context.settings.slice_cost or inf)
    answer: Answer = (tally.counted(), *rest, [])
    return Done(outcome=Ok(changed=False), bytes_done=tally.bytes_done, answer=answer)


_VERIFY_CHUNK = f"{__name__}:{verify_chunk.__name__}"
_VERIFY_FOREST = f"{__name__}:{VerifyForest.__name__}"


def verify(job: Job, context: Context) -> Done:
    """Compare every file that the manifest names with its checksum."""
    tally = Tally()
    with _Verifier(job, context, tally) as verifier:
        rest = begin([root_node(())], verifier, context.settings.slice_cost or inf)
    if not verifier.found and not tally.failed:
        raise refusal(f"{shown(job.dest)} holds no checksums")
    done = tally.done(note=f"{verifier.found} files verified")
    if not rest[1]:
        return done
    config = (tuple(job), verifier.found)
    answer: Answer = (tally.counted(), *rest, [])
    seed = (_VERIFY_CHUNK, config, answer)
    return replace(done, spread=Spread(coordinator=_VERIFY_FOREST, seed=seed))
