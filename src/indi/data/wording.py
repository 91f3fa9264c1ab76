"""Counts and short lists for the messages about folders of images."""

from collections.abc import Iterable, Sequence
from itertools import islice

SHOWN = 3  # names or findings that a message spells out


def count(number: int, noun: str) -> str:
    """Return "1 pair" or "2 pairs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def few(names: Iterable[str], *, between: str = ", ", shown: int = SHOWN) -> str:
    """Return the first names, and how many more there are."""
    rest = iter(names)
    first = list(islice(rest, shown))
    more = sum(1 for _ in rest)
    return between.join([*first, f"and {more} more"] if more else first)


def what_to_fix(problems: Sequence[tuple[str, str]]) -> str:
    """Return what stops work on pairs: the first of (name, sentence), and how many there are."""
    found = few((f"{name}: {sentence}" for name, sentence in problems), between="; ")
    return f"{count(len(problems), 'pair')} to fix or remove: {found}"


def first_lines(start: str, sentences: Sequence[str]) -> list[str]:
    """Return a line each for the first sentences, and one that counts the others."""
    more = len(sentences) - SHOWN
    lines = [start + sentence for sentence in sentences[:SHOWN]]
    return [*lines, f"{start}and {more} more"] if more > 0 else lines
