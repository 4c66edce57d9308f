"""Clear the markets of a JSON file: python -m abm.market problem.json [-o clearing.json]."""

import argparse
import sys
from collections.abc import Sequence

from abm.market.clearing import MarketNotCleared, clear
from abm.market.files import clearing_document, json_text, read_problem, write_document


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, clear and write. Returns 0, 1 if no clearing was certified, 2 if an input is wrong."""
    given = options().parse_args(arguments)
    try:
        named = read_problem(given.problem)
        clearing = clear(named.problem)
        document = clearing_document(named, clearing)
        if given.output is None:
            print(json_text(document), end="")
        else:
            write_document(document, given.output)
    except MarketNotCleared as error:
        print(error, file=sys.stderr)
        return 1
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


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
