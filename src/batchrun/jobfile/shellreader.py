"""A small reader of POSIX shell syntax: where a value would be read as one quoted word.

It follows quotes, expansions, comments and here-documents through the literal text. Wherever it
cannot be certain what the shell will do, it refuses: a wrong refusal costs the author a line, a
wrong acceptance runs somebody else's file name.

Source: POSIX.1-2024, Shell Command Language, 2.2 to 2.7; dash 0.5 and bash 5 for where they
differ from it (`$'...'`, `(( ))`, `<<<`).
"""

from collections.abc import Callable, Sequence

__all__ = ["ENDS_WORD", "HOLE", "ShellReader"]

#: Stands for an insertion; it cannot be part of a command.
HOLE = "\0"
_BLANK = " \t"
ENDS_WORD = " \t\n;&|()<>"
_INSTEAD = ", where it would not be quoted once but twice or not at all; pass it in `env:`"
_ADVICE = "; close the quotes before it, or pass it in `env:`"


class ShellReader:
    """Reads a text once, keeping a stack of what is open.

    Args:
        text: A shell string in which `HOLE` stands for each insertion.
        raw: For each insertion, whether it is inserted as it is, so that nothing is refused.
    """

    def __init__(self, text: str, raw: Sequence[bool]) -> None:
        self._text = text
        self._raw = raw
        self._at = 0
        self._stack: list[str] = ["plain"]
        #: The last character read was part of a word.
        self._in_word = False
        self._word = ""
        #: Insertions read so far.
        self._holes = 0
        #: Open parentheses since a `((`.
        self._double = 0
        self._had_double = False
        self._unsure = False
        self._pending: list[tuple[str, bool, bool]] = []
        #: Positions of quotes that hold nothing but one insertion.
        self.dropped: set[int] = set()
        #: Number of an insertion: why it is not possible.
        self.refused: dict[int, str] = {}
        self._read_in: dict[str, Callable[[str], None]] = {
            "plain": self._plain,
            "double": self._double_quoted,
            "backtick": self._backtick,
            "command": self._command,
            "paren": self._command,
            "parameter": self._parameter,
        }

    def read(self) -> None:
        """Read to the end; what was found is in `dropped` and `refused`."""
        while self._at < len(self._text):
            character = self._text[self._at]
            self._read_in[self._stack[-1]](character)

    # Every reader below takes at least one character.

    def _plain(self, character: str) -> None:
        if character == HOLE:
            self._hole(self._why_not_here())
        elif character == "\n":
            self._newline()
        elif character in ENDS_WORD:
            self._operator(character)
        elif character == "#" and not self._in_word:
            self._comment()
        else:
            self._common(character)

    def _why_not_here(self) -> str:
        before = self._text[self._at - 1] if self._at else ""
        if before == "$":
            return "follows a `$`, which would change its meaning; put it in a word of its own"
        if self._double:
            return (
                "stands inside `(( ))`, where quotes do not protect; pass it in `env:`, or put a "
                "space between the parentheses if they are a subshell"
            )
        return ""

    def _operator(self, character: str) -> None:
        text, at = self._text, self._at
        self._end_word()
        if text.startswith("<<<", at):
            self._at += 3
        elif text.startswith("<<", at):
            self._here_document()
        elif text.startswith("((", at) and not self._double:
            self._double, self._had_double = 2, True
            self._at += 2
        else:
            if self._double:
                self._double += {"(": 1, ")": -1}.get(character, 0)
            self._at += 1

    def _end_word(self) -> None:
        self._in_word, self._word = False, ""

    def _common(self, character: str) -> None:
        """Read what means the same in plain text, in `$( )` and, mostly, in `${ }`."""
        if character == "\\":
            self._backslash()
        elif character == "'":
            self._single_quoted()
        elif character == '"':
            self._open_double()
        elif character == "`":
            self._push("backtick", 1)
        elif character == "$":
            self._dollar()
        else:
            self._take(character)

    def _take(self, character: str) -> None:
        self._in_word = True
        self._word += character
        self._at += 1

    def _push(self, state: str, length: int) -> None:
        self._in_word = True
        self._word += "?"
        self._stack.append(state)
        self._at += length
        if state == "command":
            self._end_word()

    def _pop(self, length: int = 1) -> None:
        self._stack.pop()
        self._at += length
        self._in_word, self._word = True, "?"

    def _backslash(self) -> None:
        following = self._text[self._at + 1 : self._at + 2]
        if following == HOLE:
            self._at += 1
            self._hole("follows a backslash, which would change its meaning; take it away")
        elif following == "\n":
            # The shell joins the lines before it reads them: `$\<newline>(` is `$(`.
            before = self._text[self._at - 1] if self._at else " "
            if before in "$<(&|;" or (len(self._stack) > 1 and before not in _BLANK + "\n"):
                self._unsure = True
            self._at += 2
        else:
            self._in_word = True
            self._word += "?"
            self._at += 2

    def _lone(self, mark: str) -> bool:
        """Take quotes that hold nothing but one insertion, as if they were not there."""
        at = self._at
        if len(self._stack) > 1 or self._text[at + 1 : at + 3] != HOLE + mark:
            return False
        if self._raw[self._holes]:
            return False
        reason = self._why_not_here()
        if not reason:
            self.dropped.update((at, at + 2))
        self._at += 1
        self._hole(reason)
        self._at += 1
        return True

    def _single_quoted(self) -> None:
        if self._lone("'"):
            return
        start = self._at
        end = self._text.find("'", start + 1)
        end = len(self._text) if end < 0 else end
        body = self._text[start + 1 : end]
        if "\\" in body and self._text[start - 1 : start] == "$":
            self._unsure = True  # bash reads backslashes in $'...', dash does not
        if "\n" in body and self._pending:
            self._unsure = True
        for _ in range(body.count(HOLE)):
            self._refuse("is inside single quotes, so it is already quoted" + _ADVICE)
        self._at = end + 1
        self._in_word, self._word = True, self._word + "?"

    def _open_double(self) -> None:
        if not self._lone('"'):
            self._push("double", 1)

    def _double_quoted(self, character: str) -> None:
        if character == HOLE:
            self._hole("is inside double quotes, so it is already quoted" + _ADVICE)
        elif character == '"':
            self._pop()
        elif character == "\\":
            self._backslash()
        elif character == "`":
            self._push("backtick", 1)
        elif character == "$":
            self._dollar()
        else:
            if character == "\n" and self._pending:
                self._unsure = True
            self._at += 1

    def _backtick(self, character: str) -> None:
        if character == HOLE:
            self._hole("is inside backticks" + _INSTEAD)
        elif character == "`":
            self._pop()
        else:
            self._at += 2 if character == "\\" and self._text[self._at + 1 :][:1] != HOLE else 1

    def _dollar(self) -> None:
        text, at = self._text, self._at
        if text.startswith("$((", at):
            self._arithmetic()
        elif text.startswith("$(", at):
            self._push("command", 2)
        elif text.startswith("${", at):
            if text[at + 2 : at + 3] in (" ", "\t", "\n", "|"):
                self._unsure = True  # newer shells run a command here
            self._push("parameter", 2)
        else:
            if text.startswith("$[", at):
                self._unsure = True  # an old way to write arithmetic in bash
            self._take("$")

    def _arithmetic(self) -> None:
        """Read `$((...))`; what is not plainly arithmetic may be a command, and is not followed."""
        start = self._at
        depth, at = 0, start + 1
        while at < len(self._text):
            character = self._text[at]
            depth += {"(": 1, ")": -1}.get(character, 0)
            if depth == 0:
                break
            if character in "'\"`\\\n{}":
                self._unsure = True
            at += 1
        if not self._text.startswith("))", at - 1):
            self._unsure = True
        for _ in range(self._text.count(HOLE, start, at)):
            self._refuse("is inside `$(( ))`" + _INSTEAD)
        self._at = at + 1
        self._in_word, self._word = True, self._word + "?"

    def _command(self, character: str) -> None:
        if character == HOLE:
            self._hole("is inside `$( )`" + _INSTEAD)
        elif character == "#" and not self._in_word:
            self._comment()
        elif character in ENDS_WORD:
            self._inside_operator(character)
        else:
            self._common(character)

    def _inside_operator(self, character: str) -> None:
        # The `)` of a case pattern and here-documents would end it where the shell does not.
        if self._word == "case" or self._text.startswith("<<", self._at):
            self._unsure = True
        if character == "\n" and self._pending:
            self._unsure = True
        self._end_word()
        if character == "(":
            self._stack.append("paren")
        elif character == ")":
            ended = self._stack.pop()
            self._in_word = ended == "command"
        self._at += 1

    def _parameter(self, character: str) -> None:
        if character == HOLE:
            self._hole("is inside `${ }`" + _INSTEAD)
        elif character == "}":
            self._pop()
        elif character in "'\"`\\" and "double" in self._stack:
            self._unsure = True  # shells disagree about quotes in "${...}"
            self._at += 1
        else:
            self._common(character)

    def _comment(self) -> None:
        end = self._text.find("\n", self._at)
        end = len(self._text) if end < 0 else end
        for _ in range(self._text.count(HOLE, self._at, end)):
            self._refuse("is in a comment, which a line break in it would end; take it out")
        self._at = end

    def _here_document(self) -> None:
        """Read `<<WORD`; its body begins behind the end of this line."""
        if self._had_double:
            self._unsure = True  # it may be a shift of `(( ))`
        at = self._at + 2
        strips = self._text.startswith("-", at)
        at += strips
        while self._text[at : at + 1] in (" ", "\t"):
            at += 1
        start = at
        while at < len(self._text) and self._text[at] not in ENDS_WORD:
            if self._text[at] in "'\"":
                end = self._text.find(self._text[at], at + 1)
                at = len(self._text) - 1 if end < 0 else end
            elif self._text[at] == "\\":
                at += 1
            at += 1
        word = self._text[start:at]
        for _ in range(word.count(HOLE)):
            self._refuse("is the end mark of a here-document; write the mark literally")
        if set(word) & set("$`\n") or not word or ('"' in word and "\\" in word):
            self._unsure = True
        mark = "".join(character for character in word if character not in "'\"\\")
        self._pending.append((mark, strips, mark == word))
        self._at = max(at, self._at + 2)
        self._end_word()

    def _newline(self) -> None:
        self._end_word()
        self._at += 1
        pending, self._pending = self._pending, []
        for mark, strips, expands in pending:
            self._body(mark, strips=strips, expands=expands)

    def _body(self, mark: str, *, strips: bool, expands: bool) -> None:
        ended = False
        while self._at < len(self._text) and not ended:
            end = self._text.find("\n", self._at)
            end = len(self._text) if end < 0 else end
            line = self._text[self._at : end]
            for _ in range(line.count(HOLE)):
                self._refuse("is in a here-document" + _INSTEAD)
            if expands and line.endswith("\\"):
                self._unsure = True
            ended = (line.lstrip("\t") if strips else line) == mark
            self._at = end + 1

    def _hole(self, reason: str) -> None:
        if self._unsure:
            reason = reason or (
                "follows shell syntax in which quotes cannot be followed with certainty; "
                "pass it in `env:`"
            )
        if reason:
            self._refuse(reason)
        else:
            self._holes += 1
        self._at += 1
        self._in_word, self._word = True, self._word + "?"

    def _refuse(self, reason: str) -> None:
        if not self._raw[self._holes]:
            self.refused[self._holes] = reason
        self._holes += 1
