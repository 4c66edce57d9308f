"""Clear the markets of a JSON file: python -m abm.market problem.json [-o clearing.json]."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from abm.market.clearing import MarketNotCleared, clear
from abm.market.files import (
    FileError,
    clearing_document,
    json_text,
    read_problem,
    write_document,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, clear and write. Returns 0, 1 if no clearing was certified, 2 if an input is wrong."""
    given = options().parse_args(arguments)
    try:
        named = read_problem(given.problem)
        if given.output is not None:
            refuse_overwriting(given.problem, given.output)
        document = clearing_document(named, clear(named.problem))
        if given.output is None:
            show(json_text(document))
        else:
            write_document(document, given.output)
    except MarketNotCleared as error:
        print(f"{given.problem}: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def refuse_overwriting(problem: str, output: str) -> None:
    if Path(output).exists() and Path(output).samefile(problem):
        raise FileError(f"{output} is the problem itself; give the clearing another name.")


def show(text: str) -> None:
    """Print the text; whoever reads it through a pipe may stop early."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except UnicodeEncodeError:
        raise FileError("the screen cannot show all names; write to a file with -o.") from None
    except OSError as error:
        # Python writes out what is left when it ends, and would complain again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise FileError(f"the clearing cannot be printed: {error.strerror}.") from None


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m abm.market",
        description="Clear the markets of a JSON file: prices, flows and rents, each market with "
        "its certificate. Quantities are t/month, prices USD/kg. docs/clearing.md describes both "
        "files.",
        epilog="Exit codes: 0 cleared, 1 no clearing was certified, 2 something given is wrong.",
    )
    parser.add_argument("problem", help="JSON file with the countries, markets and limits")
    parser.add_argument("-o", "--output", help="JSON file to write instead of the screen")
    return parser


if __name__ == "__main__":
    sys.exit(main())
