"""A run that is cut at any event, edited and gone on with comes to what an uncut run comes to."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchrun import api
from batchrun.journal.earlier import NOT_OK
from batchrun.model.event import Note
from chains import FURTHER, MAY_FAIL, RESCUE, Chain, Cut, Killed, Seen, Who, World
from support import MEMORY

ITEMS = ("a", "b", "c d", "e'$(f)")
#: The item that `when` leaves out.
NEVER = "b"
#: In most commands: what must be that of the first run, in all runs of a chain.
CONSTANT = "{{ stamp }} {{ now('%H:%M:%S') }} {{ run.id }}"
#: The most often that a unit fails.
MOST_FAILURES = 4

many = st.one_of(
    st.lists(st.sampled_from(ITEMS), max_size=6),
    st.lists(st.sampled_from(ITEMS), min_size=3, max_size=6),
)
unique = st.one_of(
    st.lists(st.sampled_from(ITEMS), max_size=4, unique=True),
    st.lists(st.sampled_from(ITEMS), min_size=3, max_size=4, unique=True),
)
cuts = st.builds(
    Cut,
    at=st.integers(0, 30) | st.integers(5, 20),
    unwritten=st.sampled_from([0, 0, 0, 1, 5, 30]),
)
slow = [HealthCheck.too_slow, HealthCheck.data_too_large]


# ---- jobs -----------------------------------------------------------------------------------


@dataclass
class Spec:
    """A job that can be edited: its tasks go through named lists."""

    lists: dict[str, list[str]]
    tasks: list[dict[str, Any]] = field(default_factory=list)
    #: Which list a task goes through; it has one unit when none is here.
    list_of: dict[str, str] = field(default_factory=dict)

    def text(self) -> Mapping[str, Any]:
        """Write the job file."""
        return {
            "vars": {"stamp": "{{ now('%H:%M:%S') }}"},
            "tasks": [task | self._foreach(task["id"]) for task in self.tasks],
            "finally": [{"id": "last", "run": "goodbye"}],
        }

    def _foreach(self, name: str) -> dict[str, Any]:
        return {"foreach": self.lists[self.list_of[name]]} if name in self.list_of else {}

    def planned(self) -> Counter[Who]:
        """Count the units that are to be run."""
        found = Counter[Who]()
        for task in self.tasks:
            name = task["id"]
            labels = self.lists[self.list_of[name]] if name in self.list_of else [""]
            found.update((name, one) for one in labels if not ("when" in task and one == NEVER))
        return found


def plain(name: str) -> dict[str, Any]:
    return {"run": f"{MAY_FAIL} {name} {{{{ item }}}} {CONSTANT}"}


def conditional(name: str) -> dict[str, Any]:
    return {**plain(name), "when": f"item != '{NEVER}'"}


def registering(name: str) -> dict[str, Any]:
    return {**plain(name), "register": name}


def into_file(name: str) -> dict[str, Any]:
    command = f"{MAY_FAIL} {name} {{{{ item }}}} {CONSTANT} > {{{{ output }}}}"
    return {"run": command, "output": f"{name}/{{{{ item }}}}.out"}


def stepwise(name: str) -> dict[str, Any]:
    return {
        "steps": [
            {"run": f"{name} {{{{ item }}}}", "register": f"{name}_1"},
            {"run": f"{MAY_FAIL} {FURTHER} {{{{ mine.{name}_1.stdout }}}} {CONSTANT}"},
            {"run": f"{FURTHER} third", "when": f"item != '{NEVER}'", "register": f"{name}_3"},
        ],
        "rescue": [{"run": f"{FURTHER} {RESCUE}"}],
        "always": [{"run": f"{FURTHER} always {{{{ item }}}}"}],
    }


def waiting(task: Mapping[str, Any], *, with_result: bool) -> dict[str, Any]:
    """Make a task of which each unit needs the one of the same item."""
    before = task["id"]
    result = f" {{{{ mine.{before}.stdout }}}}" if with_result else ""
    command = f"{MAY_FAIL} {before}-then {{{{ item }}}} {CONSTANT}{result}"
    return {"id": f"{before}-then", "run": command, "needs": [{"task": before, "per": "item"}]}


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    spec = Spec(lists={"many": draw(many), "unique": draw(unique)})
    if draw(st.booleans()):
        spec.tasks.append({"id": "one", "run": f"{MAY_FAIL} one {CONSTANT}", "register": "one"})
    for number in range(draw(st.integers(1, 3))):
        name = f"t{number}"
        kind = draw(st.sampled_from([plain, conditional, registering, into_file, stepwise]))
        before = [task["id"] for task in spec.tasks]
        task = kind(name) | {
            "id": name,
            "needs": [one for one in before if draw(st.booleans())],
            "retries": draw(st.integers(0, 1)),
            "retry_delay": "1ms",
        }
        if "one" in task["needs"] and "run" in task:
            task["run"] += " {{ results.one.stdout }}"
        spec.list_of[name] = draw(st.sampled_from(sorted(spec.lists)))
        spec.tasks.append(task)
        if draw(st.booleans()):
            # `mine` is for exactly one unit of this item.
            is_single = "register" in task and spec.list_of[name] == "unique"
            spec.tasks.append(waiting(task, with_result=is_single))
            spec.list_of[f"{name}-then"] = spec.list_of[name]
    return spec


@st.composite
def worlds(draw: st.DrawFn) -> World:
    names = ["one", *(f"t{number}{end}" for number in range(3) for end in ("", "-then"))]
    who = st.tuples(st.sampled_from(names), st.sampled_from(["", *ITEMS]))
    often = st.integers(1, MOST_FAILURES)
    return World(failures=Counter(draw(st.dictionaries(who, often, max_size=6))))


@contextmanager
def chain_of(world: World, spec: Spec) -> Iterator[Chain]:
    with TemporaryDirectory(dir=MEMORY) as directory, Chain(Path(directory, "job"), world) as chain:
        chain.write(spec.text())
        yield chain


def any_of(chain: Chain) -> st.SearchStrategy[str]:
    """Choose a run to go on with."""
    return st.sampled_from([seen.run_id for seen in chain.seen])


# ---- what must be true ----------------------------------------------------------------------


def to_the_end(chain: Chain, spec: Spec) -> tuple[Seen, Counter[Who]]:
    """Resume until nothing fails; return the last run, and what was done before it."""
    while True:
        done = chain.recorded("ok")
        seen = chain.resume(chain.seen[-1].run_id)
        check_nothing_ran_again(seen, spec, done)
        assert seen.result is not None
        assert seen.begun["last", ""] == 1
        if seen.result.ok:
            return seen, done
        assert without_last(seen.begun), "a run that fails does something, if only in vain"


def check_nothing_ran_again(seen: Seen, spec: Spec, done: Counter[Who]) -> None:
    """Of the units that were planned, only those ran that were not on record as ok."""
    assert without_last(seen.begun) <= spec.planned() - done


def without_last(counted: Counter[Who]) -> Counter[Who]:
    """Leave out the `finally` task, which runs each time."""
    return Counter({who: number for who, number in counted.items() if who != ("last", "")})


def no_longer_planned(seen: Seen) -> int:
    """Return how many units a run says to have found done and not planned any more."""
    notes = [event.message for event in seen.events if isinstance(event, Note)]
    found = [one.split()[0] for one in notes if "no longer planned" in one]
    return int(found[0]) if found else 0


def commands_of_an_uncut_run(spec: Spec) -> dict[Who, set[str]]:
    world = World()
    with chain_of(world, spec) as chain:
        seen = chain.run()
    assert seen.result is not None
    assert seen.result.ok
    return world.commands


@settings(max_examples=80, deadline=None, suppress_health_check=slow)
@given(spec=specs(), world=worlds(), data=st.data())
def test_a_chain_of_cut_and_edited_runs_does_each_unit_of_the_final_list_once(
    spec: Spec, world: World, data: st.DataObject
) -> None:
    with chain_of(world, spec) as chain:
        chain.run(data.draw(cuts))
        for _ in range(data.draw(st.integers(0, 2))):
            if data.draw(st.booleans()):
                spec.lists = {"many": data.draw(many), "unique": data.draw(unique)}
                chain.write(spec.text())
            done = chain.recorded("ok")
            seen = chain.resume(data.draw(any_of(chain)), data.draw(cuts))
            check_nothing_ran_again(seen, spec, done)
        seen, done = to_the_end(chain, spec)

    planned = spec.planned()
    assert not planned - chain.recorded("ok")
    assert no_longer_planned(seen) == sum((without_last(done) - planned).values())
    uncut = commands_of_an_uncut_run(spec)
    assert {who: world.commands[who] for who in planned} == {who: uncut[who] for who in planned}


@settings(max_examples=60, deadline=None, suppress_health_check=slow)
@given(spec=specs(), world=worlds(), data=st.data())
def test_a_rerun_does_what_did_not_end_ok_and_is_on_record_and_nothing_that_is_new(
    spec: Spec, world: World, data: st.DataObject
) -> None:
    with chain_of(world, spec) as chain:
        first = chain.run(data.draw(st.none() | cuts))
        bad = first.ended(*NOT_OK)
        if data.draw(st.booleans()):
            resumed = chain.resume(first.run_id, data.draw(st.none() | cuts))
            bad -= resumed.ended("ok")
        spec.lists = {"many": data.draw(many), "unique": data.draw(unique)}
        chain.write(spec.text())
        done = chain.recorded("ok")
        world.failures.clear()
        seen = chain.rerun(first.run_id)

    planned = spec.planned()
    known = Counter({who: n for who, n in bad.items() if who[0] in first.whole_tasks})
    unknown = Counter({who: n for who, n in planned.items() if who[0] not in first.whole_tasks})
    assert without_last(seen.begun) == (planned & known) + (unknown - done)


# ---- with real operations, on real files ----------------------------------------------------

NAMES = st.lists(st.sampled_from(["a", "b c", "d'$(e)", "-f"]), max_size=4, unique=True)


class Killer:
    """Ends a run at its so-manieth event."""

    def __init__(self, at: int) -> None:
        self._left = at

    def handle(self, event: object) -> None:
        del event
        self._left -= 1
        if self._left < 0:
            raise Killed

    def close(self) -> None:
        """Nothing to let go of."""


def files_job(names: list[str]) -> str:
    """Write a job in which each file is made of others."""
    per_item = {"foreach": names}
    tasks = [
        {"id": "source", "write": {"dest": "source/{{ item }}", "text": "{{ item }} {{ stamp }}\n"},
         **per_item},
        {"id": "version", "run": "echo v1", "register": "version"},
        {"id": "made", **per_item, "output": "made/{{ item }}",
         "needs": [{"task": "source", "per": "item"}, "version"],
         "run": "cat source/{{ item }} > {{ output }}; "
                "echo {{ results.version.stdout }} {{ run.id }} >> {{ output }}"},
        {"id": "copied", "copy": {"src": "made/{{ item }}", "dest": "copied/{{ item }}"},
         "needs": [{"task": "made", "per": "item"}], **per_item},
    ]  # fmt: skip
    return json.dumps({"vars": {"stamp": None}, "tasks": tasks})


class Files:
    """A directory with a job file and a state directory, in which runs are killed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        #: The last run ended by itself, and well.
        self.went_well = False

    def run(self, names: list[str], cut: int) -> None:
        """Run the job anew."""
        with self._here(names):
            options = api.LoadOptions(variables={"stamp": "of the first run"})
            config, sinks = api.RunConfig(run_id="first"), [Killer(cut)]
            loaded = api.load(self._job, options)
            self.went_well = api.run(loaded, procs=0, sinks=sinks, config=config).ok

    def resume(self, names: list[str], cut: int) -> None:
        """Go on with the last run."""
        with self._here(names):
            goes_on = api.continuation(api.Wanted(how="resume"))
            config, sinks = api.RunConfig(goes_on=goes_on), [Killer(cut)]
            self.went_well = api.run(goes_on.loaded, procs=0, sinks=sinks, config=config).ok

    def found(self, names: list[str]) -> dict[str, bytes]:
        """Return what is in the files of some items."""
        places = [f"{place}/{name}" for place in ("source", "made", "copied") for name in names]
        return {place: (self.directory / place).read_bytes() for place in places}

    @property
    def _job(self) -> Path:
        return self.directory / "job.yml"

    @contextmanager
    def _here(self, names: list[str]) -> Iterator[None]:
        """Write the job file, and let what is in the block be killed."""
        self.went_well = False
        self._job.write_text(files_job(names))
        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            patch.setenv("BATCHRUN_STATE_DIR", str(self.directory / "state"))
            yield


NEVER_CUT = 10**6


@settings(max_examples=12, deadline=None, suppress_health_check=slow)
@given(lists=st.lists(NAMES, min_size=2, max_size=3), data=st.data())
def test_real_files_are_those_of_an_uncut_run(lists: list[list[str]], data: st.DataObject) -> None:
    with TemporaryDirectory(dir=MEMORY) as directory:
        cut, uncut = Files(Path(directory, "cut")), Files(Path(directory, "uncut"))
        cut.run(lists[0], data.draw(st.integers(0, 40)))
        for names in lists[1:]:
            cut.resume(names, data.draw(st.integers(0, 40)))
        cut.resume(lists[-1], NEVER_CUT)
        uncut.run(lists[-1], NEVER_CUT)
        assert (cut.went_well, uncut.went_well) == (True, True)
        assert cut.found(lists[-1]) == uncut.found(lists[-1])
        assert not [path for path in cut.directory.rglob(".br-*") if "state" not in path.parts]
