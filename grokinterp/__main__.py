"""``python -m grokinterp``: which commands there are."""

from __future__ import annotations

import difflib
import sys

COMMANDS = {
    "train": "train a network and keep its checkpoints",
    "analyze": "explain the checkpoints of a run, or other people's, in a report",
    "reproduce": "test a claim of the literature: prediction, runs, verdict",
    "league": "train the runs that progress measures are judged on",
    "benchmark": "measure how fast training and analysis are on this machine",
}
"""What each command is for. Nothing is imported to list them."""


def main(words: list[str]) -> int:
    """List the commands, or refuse words that are none of ours; return the exit status."""
    if words and words[0] not in ("-h", "--help"):
        sys.stderr.write(f"error: {_refusal(words[0])}\n")
        return 2
    width = max(map(len, COMMANDS))
    lines = [
        f"  python -m grokinterp.{name:{width}}  {purpose}" for name, purpose in COMMANDS.items()
    ]
    sys.stdout.write("grokinterp explains grokking. Its commands:\n\n" + "\n".join(lines) + "\n\n")
    sys.stdout.write("Add --help to one of them for its flags.\n")
    return 0


def _refusal(word: str) -> str:
    """One line on a word that stands where none is expected, and what to type instead."""
    from grokinterp.errors import one_line

    shown = one_line(word, 60)
    near = difflib.get_close_matches(word, COMMANDS, n=1)
    if word in COMMANDS:
        return f"python -m grokinterp takes no words. Run python -m grokinterp.{word}."
    if near:
        return f"{shown!r} is not known. Did you mean python -m grokinterp.{near[0]}?"
    names = ", ".join(COMMANDS)
    return f"{shown!r} is not known. Run python -m grokinterp.NAME with one of {names}."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
