"""Shell strings: what is inserted is one word, whatever stands around it."""

import pytest

from batchrun.jobfile.scope import Names
from batchrun.jobfile.shell import place, shell_renderer
from batchrun.jobfile.template import split


def rendered(template: str, **values: object) -> str:
    pieces, refused = place(split(template))
    assert refused == []
    return shell_renderer(pieces)(Names.of(**values))


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("cat {{ x }}", "cat 'a; b'"),
        ('cat "{{ x }}"', "cat 'a; b'"),
        ("cat '{{ x }}'", "cat 'a; b'"),
        ("cat -o={{ x }}.txt", "cat -o='a; b'.txt"),
        ('cat x"{{ x }}"y', "cat x'a; b'y"),
        ("cat {{ x | raw }}", "cat a; b"),
        ('cat "{{ x | raw }} y"', 'cat "a; b y"'),
        ("X={{ x }} env", "X='a; b' env"),
        ("ls > {{ x }} # it's {% here %}", "ls > 'a; b' # it's {% here %}"),
        ("(cd {{ x }} && ls)", "(cd 'a; b' && ls)"),
        ("echo \"$(date)\" '#' {{ x }}", "echo \"$(date)\" '#' 'a; b'"),
        ("echo ${HOME:-'}'} {{ x }}", "echo ${HOME:-'}'} 'a; b'"),
        ("echo $((1 + (2 * 3))) {{ x }}", "echo $((1 + (2 * 3))) 'a; b'"),
        ("cat <<E\nit's \"\nE\necho {{ x }}", "cat <<E\nit's \"\nE\necho 'a; b'"),
        ("cat <<-'E F'\n\tx\n\tE F\necho {{ x }}", "cat <<-'E F'\n\tx\n\tE F\necho 'a; b'"),
        ("cat <<<{{ x }}", "cat <<<'a; b'"),
        ("echo \\\n  {{ x }}", "echo \\\n  'a; b'"),
        ("echo a#b {{ x }}", "echo a#b 'a; b'"),
        ("echo {{ x }}#b {{ x }}", "echo 'a; b'#b 'a; b'"),
    ],
)
def test_a_value_is_quoted_by_itself(template: str, text: str) -> None:
    assert rendered(template, x="a; b") == text


@pytest.mark.parametrize("value", ["if", "2", "A=b", "-n", "plain"])
def test_words_that_need_no_quotes_elsewhere_are_quoted_too(value: str) -> None:
    assert rendered("{{ x }}>f", x=value) == f"'{value}'>f"


def test_an_empty_value_is_an_empty_word() -> None:
    assert rendered("echo {{ x }} {{ y }}", x="", y=None) == "echo '' ''"


def test_a_quote_in_a_value_stays_a_quote() -> None:
    assert rendered("echo {{ x }}", x="it's") == "echo 'it'\"'\"'s'"


def test_a_list_becomes_separately_quoted_words() -> None:
    assert rendered('rm "{{ x }}"', x=["a b", 1, True]) == "rm 'a b' '1' 'true'"


def test_an_empty_list_leaves_nothing_but_never_joins_or_comments_out_what_is_beside_it() -> None:
    assert rendered("rm {{ x }}", x=[]) == "rm "
    assert rendered("rm {{ x }}#y", x=[]) == "rm ''#y"


@pytest.mark.parametrize(
    "template",
    [
        'echo "a {{ x }}"', 'echo "{{ x }} a"', "echo '{{ x }}{{ x }}'", "echo `a {{ x }}`",
        "echo $(a {{ x }})", "echo $(a $(b) {{ x }})", 'echo "$(a "b" {{ x }})"',
        'echo "$(case a in b) echo "c {{ x }}";; esac)"', "echo ${a:-{{ x }}}",
        "echo $(( {{ x }} ))", "echo \\{{ x }}", "echo ${{ x }}", "echo $\\\n{{ x }}",
        'echo $"{{ x }}"', "echo $'a\\' {{ x }}'", "# {{ x }}", "echo a;# {{ x }}",
        "cat <<E\n{{ x }}\nE", "cat <<{{ x }}\na\nE", "cat <<E\na\\\nE\n{{ x }}",
        "cat <<$E\na\n$E\n{{ x }}", "((a={{ x }}))", "echo $[{{ x }}]", "echo $[1] {{ x }}",
        "echo ${ a; {{ x }}}", 'echo "${a:-"b"}" {{ x }}', "$(cat <<E\na\nE\n) {{ x }}",
        "cat <<E 'a\nb' {{ x }}\nE",
    ],
)  # fmt: skip
def test_where_quoting_would_not_hold_the_insertion_is_refused(template: str) -> None:
    _, refused = place(split(template))

    assert len(refused) >= 1
    assert all("`{{ x }}` " in sentence for sentence in refused)
