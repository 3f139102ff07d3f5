"""Tree operations as pure machines: any tree, any slices, any deaths, any order of answers."""

from collections import Counter
from collections.abc import Iterator
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from batchrun.model.operation import Done
from batchrun.model.outcome import Failed, Ok
from batchrun.model.tree import Chunk
from batchrun.ops.failures import Tally
from batchrun.ops.tree.crawl import Listed, Node, begin, crawl, root_node
from batchrun.ops.tree.forest import Forest
from batchrun.ops.tree.parcels import DIRS, FILES, OTHERS, Answer, Payload

#: The machine may be busy with other tests.
unhurried = settings(deadline=None, max_examples=60)

Tree = dict[str, "Tree | int"]

NAMES = st.text("abcdefgh", min_size=1, max_size=2)
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.dictionaries(NAMES, st.sampled_from([FILES, OTHERS]), max_size=80),
    lambda below: st.dictionaries(NAMES, below | st.sampled_from([FILES, OTHERS]), max_size=6),
    max_leaves=12,
)
ROOT = ("/root",)


class DiedError(Exception):
    """The worker was killed."""


class World:
    """A tree in memory, and everything that was done to it."""

    def __init__(self, tree: Tree, deadly: frozenset[str] = frozenset()) -> None:
        self.tree = tree
        #: Names that kill whoever touches them.
        self.deadly = deadly
        self.done: Counter[str] = Counter()
        self.left: list[str] = []
        self.marks: dict[str, bool] = {}

    def at(self, path: str) -> Tree:
        here = self.tree
        for name in path.split("/") if path else ():
            below = here[name]
            assert isinstance(below, dict)
            here = below
        return here

    def files(self) -> set[str]:
        return set(_files(self.tree, ""))

    def directories(self) -> set[str]:
        return set(_directories(self.tree, ""))


def _files(tree: Tree, prefix: str) -> Iterator[str]:
    for name, below in tree.items():
        if isinstance(below, dict):
            yield from _files(below, f"{prefix}{name}/")
        else:
            yield prefix + name


def _directories(tree: Tree, prefix: str) -> Iterator[str]:
    yield prefix.rstrip("/")
    for name, below in tree.items():
        if isinstance(below, dict):
            yield from _directories(below, f"{prefix}{name}/")


class Walker:
    """A Visitor of a World; it dies before the step of a given number."""

    def __init__(self, world: World, steps: float = inf) -> None:
        self._world = world
        self._steps = steps

    def _step(self) -> None:
        if not self._steps:
            raise DiedError
        self._steps -= 1

    def _touch(self, path: str) -> None:
        if path in self._world.deadly:
            raise DiedError

    def enter(self, node: Node) -> bool:
        self._step()
        self._touch(node.path)
        node.token = len(node.path)
        return True

    def listed(self, node: Node) -> Iterator[Listed]:
        self._step()
        for name, below in self._world.at(node.path).items():
            yield name, DIRS if isinstance(below, dict) else below

    def files(self, node: Node, names: list[str]) -> int:
        return self._entries(node, names, FILES)

    def others(self, node: Node, names: list[str]) -> int:
        return self._entries(node, names, OTHERS)

    def _entries(self, node: Node, names: list[str], kind: int) -> int:
        self._step()
        here = self._world.at(node.path)
        for name in names:
            path = f"{node.path}/{name}" if node.path else name
            self._touch(path)
            assert here[name] == kind
            self._world.done[path] += 1
            node.marked |= name.startswith("a")
        return len(names)

    def leave(self, node: Node) -> None:
        self._step()
        assert node.token == len(node.path)
        self._world.left.append(node.path)
        self._world.marks[node.path] = node.marked


def begun(world: World, most: float) -> Answer:
    """Begin with the root, as the operation itself does."""
    opened, works, marks = begin([root_node(ROOT, 0)], Walker(world), most)
    return Tally().counted(), opened, works, marks, []


class Play:
    """Runs a forest with answers in any order, slices of any size, and deaths."""

    def __init__(self, world: World, data: DataObject) -> None:
        self.world = world
        self.data = data
        self.forest = Forest(("", None, begun(world, data.draw(st.integers(0, 50)))))
        self.out: list[Chunk] = []
        self.width = data.draw(st.sampled_from([1, 2, 5]))
        self.deaths = 0

    def run(self, deaths: int) -> Done:
        while not self.forest.over:
            # The fewer are out, the more directories are left in one chunk.
            while len(self.out) < self.width and (chunk := self.forest.take()) is not None:
                self.out.append(chunk)
            assert self.out, "nothing is out, and yet it is not over"
            chunk = self.out.pop(self.data.draw(st.integers(0, len(self.out) - 1)))
            assert 0 <= self.forest.progress.share <= 1
            fate = self.data.draw(st.sampled_from(["answer", "answer", "answer", "die", "return"]))
            if fate == "return":
                self.forest.give_back(chunk)
            elif fate == "die" and self.deaths < deaths:
                self.deaths += 1
                self._work(chunk, self.data.draw(st.integers(0, 5)))
            else:
                self._work(chunk, inf)
        assert self.forest.progress.share == pytest.approx(1.0)
        return self.forest.result()

    def _work(self, chunk: Chunk, steps: float) -> None:
        """Let a worker have a chunk, which may kill it."""
        payload: Payload = chunk.payload  # type: ignore[assignment]  # as the forest has made it
        _, deaths, items, _ = payload
        most = 1 if deaths else self.data.draw(st.sampled_from([0, 1, 2, 3, 10, 100]))
        try:
            rest = crawl(items, Walker(self.world, steps), most)
        except DiedError:
            self.forest.lose(chunk, chunk.number, "worker-1 was killed")
        else:
            answer: Answer = (Tally().counted(), *rest, [])
            self.forest.absorb(chunk, Done(outcome=Ok(changed=False), answer=answer))


@unhurried
@given(TREES, st.data())
def test_every_entry_is_worked_on_once_and_every_directory_left_after_all_that_is_in_it(
    tree: Tree, data: DataObject
) -> None:
    world = World(tree)

    done = Play(world, data).run(deaths=0)

    assert isinstance(done.outcome, Ok)
    assert world.done == Counter(world.files())
    assert Counter(world.left) == Counter(world.directories())
    _assert_deepest_first(world)


@unhurried
@given(TREES, st.data())
def test_whatever_dies_everything_is_done_and_directories_are_left_last(
    tree: Tree, data: DataObject
) -> None:
    world = World(tree)

    # One less than what gets a name blamed.
    done = Play(world, data).run(deaths=1)

    assert isinstance(done.outcome, Ok)
    assert set(world.done) == world.files()
    assert set(world.left) == world.directories()
    _assert_deepest_first(world)


@unhurried
@given(TREES, st.data())
def test_a_mark_on_any_entry_reaches_every_directory_above_it(tree: Tree, data: DataObject) -> None:
    world = World(tree)

    Play(world, data).run(deaths=0)

    for path in world.directories():
        prefix = f"{path}/" if path else ""
        below = (file for file in world.files() if file.startswith(prefix))
        assert world.marks[path] == any(file.rpartition("/")[2].startswith("a") for file in below)


@unhurried
@given(TREES, st.data())
def test_a_name_that_kills_every_worker_is_blamed_and_the_rest_is_done(
    tree: Tree, data: DataObject
) -> None:
    files = sorted(World(tree).files())
    deadly = frozenset(data.draw(st.sets(st.sampled_from(files), max_size=2))) if files else files
    world = World(tree, frozenset())
    play = Play(world, data)
    # What is done before anything is handed out has no forest that could blame it.
    deadly = frozenset(deadly) - set(world.done)
    world.deadly = deadly

    done = play.run(deaths=0)

    assert set(world.done) == world.files() - deadly
    assert set(world.left) == world.directories()
    if deadly:
        assert isinstance(done.outcome, Failed)
        assert all(f"/root/{path}, again and again" in done.outcome.message for path in deadly)


@unhurried
@given(TREES)
def test_one_that_is_stopped_is_over_as_soon_as_nothing_is_out(tree: Tree) -> None:
    world = World(tree)
    forest = Forest(("", None, begun(world, 1)))
    chunks = [chunk for _ in range(3) if (chunk := forest.take()) is not None]

    forest.stop()

    for chunk in chunks:
        assert not forest.over
        forest.drop(chunk)
    assert forest.over
    assert forest.take() is None


def _assert_deepest_first(world: World) -> None:
    """Look at when each directory was left for the last time."""
    last = {path: index for index, path in enumerate(world.left)}
    for path in world.directories() - {""}:
        assert last[path] < last[path.rpartition("/")[0]]
