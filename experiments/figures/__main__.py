"""`python -m experiments.figures [folder]` draws the figures of a results folder again."""

from experiments.figures.again import main

if __name__ == "__main__":
    raise SystemExit(main())
