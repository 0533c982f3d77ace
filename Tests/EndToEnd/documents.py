# SPDX-License-Identifier: Apache-2.0
"""Markdown as its readers follow it: the fenced blocks of a document, run from top to bottom in one folder.

A block of `sh`, `sql` or `python` is run; the block without a language that follows it at once is what it prints. A comment
in front of a block says what is special about it:

    <!-- not run: REASON -->     it cannot run here, e.g. it needs Docker
    <!-- output varies -->       what it prints depends on the moment
    <!-- fails: STATUS -->       it ends with this exit status, as the text around it says
"""
import dataclasses
import pathlib
import re

RUN = {"sh", "sql", "python"}
# Blocks that only show something.
SHOWN = {"", "json", "yaml", "promql", "ini", "text"}


@dataclasses.dataclass
class Block:
    path: pathlib.Path
    line: int
    language: str
    text: str
    mark: str = ""
    output: "Block" = None

    @property
    def name(self):
        return f"{self.path.name}:{self.line}"

    @property
    def not_run(self):
        return self.mark.startswith("not run: ")

    @property
    def status(self):
        return int(self.mark.split(": ")[1]) if self.mark.startswith("fails: ") else 0


def blocks(path):
    """The fenced blocks of a document, in order, each with the block of its output."""
    found, mark, current = [], "", None
    last_end = -10
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if current is None:
            fence = re.fullmatch(r"```(\w*)", line)
            if fence:
                current = Block(path, number, fence.group(1), "", mark)
                mark = ""
            elif comment := re.fullmatch(r"<!-- ((?:not run|fails): .+|output varies) -->", line):
                mark = comment.group(1)
            elif line.strip():
                mark = ""
                last_end = -10
        elif line == "```":
            if current.language == "" and found and last_end >= 0 and found[-1].language in RUN and not found[-1].output:
                found[-1].output = current
            else:
                found.append(current)
            last_end, current = number, None
        else:
            current.text += line + "\n"
    assert current is None, f"{path}: a block does not end"
    return found


# What differs from run to run, wherever it stands.
VOLATILE = [
    (r'"query_id":"[0-9a-f]+"', '"query_id":"…"'), (r'"elapsed_ms":[0-9.]+', '"elapsed_ms":…'),
    (r"rows/s +[0-9,]+", "rows/s …"), (r"in [0-9.]+ s\b", "in … s"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:8080"),
]


def comparable(text):
    for pattern, replacement in VOLATILE:
        text = re.sub(pattern, replacement, text)
    return [line.rstrip() for line in text.strip("\n").splitlines()]
