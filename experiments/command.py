"""The command line of the commands that are no runs: a wrong word is answered with a sentence."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

MISUSE = 2  # exit code of a wrong input
# What the parser says, and what a reader is told of it.
WORDING = (
    (r"argument ([^:]+): invalid number value: (.*)", r"\1 is \2, which is no whole number"),
    (r"argument ([^:]+): expected .*", r"\1 is given no value"),
    (r"argument ([^:]+): ignored explicit argument (.*)", r"\1 takes no value, but is given \2"),
    (r"argument ([^:]+): (.*)", r"\1 \2"),
    (r"unrecognized arguments: (.*)", r"There is no '\1'"),
    (r"the following arguments are required: (.*)", r"The word for \1 is missing"),
)


class CommandLine(argparse.ArgumentParser):
    """A parser that answers wrong words with one plain sentence and exit code 2."""

    def __init__(self, prog: str, description: str | None) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and where to look, and end."""
        for said, told in WORDING:
            if re.fullmatch(said, message):
                message = re.sub(said, told, message)
                break
        cure = "" if ";" in message else f"; see {self.prog} --help"
        print(f"{message.rstrip('.')}{cure}.", file=sys.stderr)
        raise SystemExit(MISUSE)


def whole_number(least: int) -> Callable[[str], int]:
    """Reads a whole number that is no less than `least`."""

    def number(word: str) -> int:
        value = int(word)
        if value < least:
            raise argparse.ArgumentTypeError(f"is {word}; give {least} or more")
        return value

    return number


def folder_to_write(word: str) -> Path:
    """Reads a folder in which files can be put, or which can be made."""
    path = Path(word)
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not there.is_dir():
        raise argparse.ArgumentTypeError(f"is '{word}', but '{there}' is a file; give a folder")
    return path
