"""The failures of the page, alike ones once, each with its output; needs no script."""

from collections.abc import Iterator

from batchrun.report.html.facts import Facts
from batchrun.report.html.groups import Group, Groups, Variant
from batchrun.report.html.markup import Markup, element, join, verbatim
from batchrun.report.html.outputs import Excerpt
from batchrun.report.recap import kind_words
from batchrun.report.text import count
from batchrun.report.who import hosts_text

__all__ = ["failures"]

#: Groups whose output is unfolded.
_OPEN = 10


def failures(facts: Facts, groups: Groups) -> Markup:
    """Write the section; nothing when all went well."""
    shown = groups.shown()
    if not shown:
        return Markup("")
    number = element("span", count(groups.number), class_="also")
    more = groups.left_out()
    return element(
        "section",
        element("h2", "Failures ", number, id="failures-title"),
        *(_group(group, facts.task_name(group.task_id), is_open=at < _OPEN)
          for at, group in enumerate(shown)),
        element("p", f"and {count(more)} more with other messages", class_="remark")
        if more else "",
        aria_labelledby="failures-title",
    )  # fmt: skip


def _group(group: Group, task: str, *, is_open: bool) -> Markup:
    """Write failures that are alike."""
    word = "ignored" if group.ignored else kind_words(group.kind)
    kind = "ignored" if group.ignored else group.kind.replace("_", "-")
    units = "1 unit" if group.number == 1 else f"{count(group.number)} units"
    title = element(
        "h3",
        element("span", word, class_=f"status kind-{kind}"),
        element("span", task, class_="name"),
        element("span", units, class_="also"),
    )
    show = element("button", "Show in the table", type="button", hidden="", data_group=group.at)
    return element(
        "article",
        element("div", title, show, class_="head"),
        element("p", _message(group), class_="why"),
        *(_variant(group, one, is_open=is_open) for one in group.variants.values()),
        *_others(group),
        class_=f"group edge-{kind}",
    )


def _message(group: Group) -> Markup:
    """Write why; where the item stood, its mark stands if there are several."""
    if group.number == 1:
        return join([group.first_message])
    marked = join(group.message.split("{}"), element("var", "item"))
    marked = Markup(marked.replace("{/}", element("var", "item’s name")))
    return Markup(marked.replace("{host}", element("var", "host")))


def _variant(group: Group, variant: Variant, *, is_open: bool) -> Markup:
    """Write what some of them wrote, and which they are."""
    is_named = group.number == 1 and all(item in group.first_message for item in variant.items)
    items = Markup("") if is_named else _items(variant)
    items = join([_hosts(variant), items])
    streams = [*_stream("stdout", variant.stdout), *_stream("stderr", variant.stderr)]
    if not streams:
        return items
    same = f"Output of {count(variant.number)}, the same" if variant.number > 1 else "Output"
    folded = element("details", element("summary", same), *streams, open="" if is_open else None)
    return join([items, folded])


def _hosts(variant: Variant) -> Markup:
    """Name the hosts as a node set."""
    if not variant.hosts:
        return Markup("")
    words = hosts_text(variant.hosts, variant.on_more_hosts)
    return element("p", element("code", words), class_="hosts")


def _items(variant: Variant) -> Markup:
    """Name some items, and say how many there are besides."""
    if not variant.items:
        return Markup("")
    more = variant.number - len(variant.items)
    rest = [element("li", f"and {count(more)} more")] if more else []
    return element("ul", *(element("li", item) for item in variant.items), *rest, class_="items")


def _stream(name: str, excerpt: Excerpt) -> Iterator[Markup]:
    """Write one stream; nothing when it is empty."""
    if not excerpt:
        return
    parts = [verbatim(excerpt.head)]
    if excerpt.left_out_bytes:
        gap = f"{count(excerpt.left_out_bytes)} bytes are left out here"
        parts += [element("span", gap, class_="gap"), verbatim(excerpt.tail)]
    yield element("p", name, class_="stream")
    yield element("pre", *parts)


def _others(group: Group) -> Iterator[Markup]:
    """Say how many are not shown with their output."""
    if group.others:
        yield element(
            "p", f"{count(group.others)} more, with other output, are in the table only",
            class_="remark",
        )  # fmt: skip
