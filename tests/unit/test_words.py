"""One vocabulary: names and phrases that were replaced do not come back. `docs/reference/words.md` has the new ones."""

import ast
import io
import re
import shutil
import subprocess
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OLD_NAMES = (
    "Outside",
    "Sighting",
    "lacking",
    "look_everywhere",
    "FAILED_LOOKS",
    "Governor",
    "recognise",
    "is_doom",
    "_warned",
    "taken_ports",
    "Posed",
    "Sold",
    "lay_out",
    "Desk",
    "Books",
    "Bench",
    "afresh",
    "breaches",
    "Unplaced",
    "unplaced",
    "unrest",
    "FateDomain",
    "stray",
    "strays",
    "untouchable",
    "knobs",
    "nudge",
    "nudges",
    "CanRehearse",
    "Effort",
    "MOST_ASKED",
    "NOTICE_HEARD",
    "CellShare",
    "is_settled",
    "is_standing",
    "standing",
    "unsettled",
    "law",
    "laws",
    "_Room",
    "USUAL",
    "told",
)
"""Identifiers, as whole words anywhere."""
OLD_IDENTIFIERS = frozenset({"each", "least", "most"})
"""Names in code that are ordinary words in text: a bound, a capacity or a batch has a name that tells what it is."""
OLD_PHRASES = (
    r"\bclass (Need|Keep|Otherwise|Ask|Work)\b",
    r"fate domain",
    r"Make it so",
    r"NO PLACE",
    r"NOT KEPT",
    r"there is nobody to ask",
    r"nothing is wanted any more",
    r"is not emptied yet",
    r"looking at the clouds",
    r"under the laws? of",
    r"under these laws",
    r"who is hit",
    r"\bblind\b",
    r"\b[Cc]louds? (says?|said|tells?|told|hears?|heard|believes?|wants?)\b",
    r"\b(was|were|is|are) told\b",
    r"\b[Ss]pecs? wants?\b",
    r"\bas it wants\b",
    r"\bwants (it|nothing|something|every)\b",
    r"\bfor want of\b",
    r"\bmend(s|ed)?\b",
    r"\bsays? (how|that|what|which|why|when)\b",
    r"\bsay what to do\b",
    r"\bstands here again\b",
    r"\bthe first stands\b",
    r"\bAt most so many\b",
    r"\bit is JSON either way\b",
    r"\bis to have\b",
    r"\b([Cc]loud|[Cc]atalogue|[Pp]rogram|[Pp]rovider|Skerry)s? (know|does not know|do not know|knows)\b",
    r"\b(nobody|somebody|anybody|whoever)\b",
)
"""Regular expressions for phrases in code, messages and documents."""


def texts() -> list[Path]:
    listed = subprocess.run(
        [shutil.which("git") or "git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so no list has what is part of the project")
    paths = [ROOT / line for line in listed.stdout.splitlines()]
    suffixes = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".out", ".json", ".in", ""}
    return [
        path
        for path in paths
        if path.is_file()
        and path != Path(__file__)
        and path.suffix in suffixes
        and path.name != "LICENSE"
        and not (path.parent.name == "requirements" and path.suffix == ".txt")
        and "migrations" not in path.parts  # they name what they replace
    ]


@pytest.mark.parametrize("pattern", [*(rf"\b{name}\b" for name in OLD_NAMES), *OLD_PHRASES])
def test_no_replaced_word_comes_back(pattern: str) -> None:
    old = re.compile(pattern)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in texts()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if old.search(line)
    ]

    assert found == []


def test_a_module_is_described_in_a_sentence_or_a_phrase() -> None:
    sources = [path for path in texts() if path.suffix == ".py" and "tests" not in path.parts]
    described = {path: ast.get_docstring(ast.parse(path.read_text())) for path in sources}

    assert [str(path) for path, text in described.items() if text is not None and len(text.split()) < 2] == []


def old_identifiers(source: str) -> list[str]:
    """Return the lines of code that use a name of `OLD_IDENTIFIERS`."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [
        f"{t.start[0]}: {t.line.strip()}" for t in tokens if t.type == tokenize.NAME and t.string in OLD_IDENTIFIERS
    ]


def test_no_name_in_code_is_an_ordinary_word_that_was_replaced() -> None:
    found = {str(path.relative_to(ROOT)): old_identifiers(path.read_text()) for path in texts() if path.suffix == ".py"}

    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ("most = 3", True),
        ("def f(each: int) -> None: ...", True),
        ("table.least", True),
        ('"""Use each at most once."""', False),
        ("x = 1  # at least", False),
        ("at_most = 3", False),
    ],
)
def test_old_names_are_found_in_code_and_not_in_prose(source: str, *, is_found: bool) -> None:
    assert bool(old_identifiers(f"{source}\n")) is is_found
