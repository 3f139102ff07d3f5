"""How OpenSSH cuts the lines of its configuration into words; three ways of it are in use."""

import re

__all__ = ["next_word", "split_line", "split_words"]

_WHITE = " \t\r\n"
_END = re.compile(r'[ \t\r\n"=]')
#: Values without these are most of them, and quickly cut.
_QUOTED = re.compile(r"""["'\\#]""")
_ESCAPED = frozenset("'\"\\")


def split_line(line: str) -> tuple[str, str] | None:
    """Return the keyword of a line, as it is written, and what follows; None: there is none.

    >>> split_line("  HostName = a.example "), split_line('"User"ann'), split_line("# no")
    (('HostName', 'a.example'), ('User', 'ann'), None)

    Raises:
        ValueError: a quote is not closed.
    """
    word, rest = next_word(line.rstrip(_WHITE + "\f"))
    if not word:  # white space before the keyword ends an empty word
        word, rest = next_word(rest)
    if not word or word.startswith("#"):
        return None
    return word, rest.lstrip(_WHITE)


def next_word(text: str) -> tuple[str, str]:
    """Return the first word of a text, and the rest; words end at white space, `=` and quotes.

    >>> next_word("host=a b"), next_word('"a b" c'), next_word("")
    (('host', 'a b'), ('a b', 'c'), ('', ''))

    Raises:
        ValueError: a quote is not closed.

    Source: strdelim() of OpenSSH 9.2.
    """
    end = _END.search(text)
    at = end.start() if end else len(text)
    if text[at : at + 1] == '"':
        inside, closed, rest = text[at + 1 :].partition('"')
        if not closed:
            message = "a quote is not closed"
            raise ValueError(message)
        return text[:at] + inside, rest.lstrip(_WHITE)
    rest = text[at + 1 :].lstrip(_WHITE)
    if text[at : at + 1] not in ("", "=") and rest.startswith("="):
        rest = rest[1:].lstrip(_WHITE)
    return text[:at], rest


def split_words(text: str) -> list[str]:
    r"""Return the words of a value, up to a comment.

    >>> split_words(r'a "b c" d\ e#f # g'), split_words("''")
    (['a', 'b c', 'd e#f'], [''])

    Raises:
        ValueError: a quote is not closed.

    Source: argv_split() of OpenSSH 9.2.
    """
    if not _QUOTED.search(text):
        return [word for word in text.replace("\t", " ").split(" ") if word]
    words: list[str] = []
    at = 0
    while at < len(text):
        if text[at] in " \t":
            at += 1
        elif text[at] == "#":
            break
        else:
            word, at = _quoted_word(text, at)
            words.append(word)
    return words


def _quoted_word(text: str, at: int) -> tuple[str, int]:
    """Return the word that begins at a place, and where it ends."""
    signs: list[str] = []
    quote = ""
    while at < len(text):
        sign, after = text[at], text[at + 1 : at + 2]
        if sign == "\\" and (after in _ESCAPED or (after == " " and not quote)):
            signs.append(after)
            at += 1
        elif not quote and sign in " \t":
            break
        elif not quote and sign in "'\"":
            quote = sign
        elif sign == quote:
            quote = ""
        else:
            signs.append(sign)
        at += 1
    if quote:
        message = "a quote is not closed"
        raise ValueError(message)
    return "".join(signs), at
