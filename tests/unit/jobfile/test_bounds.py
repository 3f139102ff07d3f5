"""Templates that make much out of little are stopped before they do."""

import pytest

from batchrun.jobfile.expressions import parse_expression
from batchrun.jobfile.scope import Names
from batchrun.model.outcome import Failed
from small_jobs import loaded, units


def evaluated(source: str) -> object:
    return parse_expression(source).evaluate(Names.of(x="abc", n=10**9))


@pytest.mark.parametrize(
    "source",
    [
        "'a' * 10 ** 9",
        "n * 'a'",
        "[1, 2] * n",
        "(1, 2) * n",
        "10 ** n",
        "(10 ** 200000) * (10 ** 200000)",
        "'%1000000000d' % 1",
        "'%*d' % (n, 1)",
        "'%1000000000d' | format(1)",
        "'{:>1000000000}'.format(1)",
        "'{:>{}}'.format(1, n)",
        "'{a:>{b}}'.format_map({'a': 1, 'b': n})",
        "x.center(n)",
        "x.ljust(n)",
        "x.rjust(n)",
        "x.zfill(n)",
        "x.expandtabs(n)",
        "x | center(n)",
        "x | indent(n)",
        "x | indent(width=n)",
        "x | tojson(indent=n)",
        "[1] | batch(n, 0) | list",
        "[1] | slice(n) | list",
        "('a' * 100000).replace('a', 'b' * 100000)",
        "('a' * 100000) | replace('a', 'b' * 100000)",
        "('a' * 10000).join([''] * 10000)",
        "([''] * 10000) | join('a' * 10000)",
        "(5).to_bytes(n, 'big')",
    ],
)
def test_what_would_fill_the_memory_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="too large"):
        evaluated(source)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("'ab' * 3", "ababab"),
        ("3 * 4 ** 2 % 7", 6),
        ("1.5 * 2", 3.0),
        ("[0] * 3", [0, 0, 0]),
        ("'%05d %s' % (7, x)", "00007 abc"),
        ("'%s-%s' | format(1, 'b')", "1-b"),
        ("'{}:{:>5}'.format(n, x)", "1000000000:  abc"),
        ("x.replace('b', '--')", "a--c"),
        ("x | replace('b', '--')", "a--c"),
        ("x | center(7)", "  abc  "),
        ("', '.join(['a', 'b'])", "a, b"),
        ("['a', 'b'] | join('+')", "a+b"),
        ("[{'k': 1}, {'k': 2}] | join(',', attribute='k')", "1,2"),
        ("[1, 2, 3] | batch(2) | list", [[1, 2], [3]]),
        ("{'a': 1} | tojson(indent=2)", '{\n  "a": 1\n}'),
        ("'a\nb' | indent(2)", "a\n  b"),
        ("{'center': 5}.center", 5),
        ("{'replace': 5}['replace']", 5),
    ],
)
def test_what_fits_is_computed(source: str, value: object) -> None:
    assert evaluated(source) == value


def test_variables_that_double_each_other_are_stopped() -> None:
    doubling = "".join(f"  v{n}: '{{{{ v{n - 1} ~ v{n - 1} }}}}'\n" for n in range(1, 40))
    job = loaded(f"vars:\n  v0: abcdefgh\n{doubling}tasks: [{{run: a, stdin: '{{{{ v39 }}}}'}}]\n")

    (unit,) = units(job)

    assert isinstance(unit.verdict, Failed)
    assert "the value is too large" in unit.verdict.message


def test_lists_that_double_each_other_are_stopped() -> None:
    doubling = "".join(f"  v{n}: '{{{{ v{n - 1} + v{n - 1} }}}}'\n" for n in range(1, 40))
    job = loaded(
        f"vars:\n  v0: [1, 2]\n{doubling}tasks: [{{run: a, stdin: '{{{{ v39 | length }}}}'}}]\n"
    )

    (unit,) = units(job)

    assert "the value is too large" in getattr(unit.verdict, "message", "")
