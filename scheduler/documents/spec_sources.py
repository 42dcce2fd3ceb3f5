"""The documents of a fleet: from one file, or from every YAML file of a folder.

A folder is read with its subfolders, in order of path, without what begins with a dot; linked files are followed,
linked folders are not. A file without a spec document, such as a Ray Serve config, is set aside and named.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from scheduler.documents.files import read_text
from scheduler.documents.spec_forms import API_VERSION
from scheduler.documents.yaml_document import Document, DocumentError, Problem, documents_and_problems

FLEET_SIZE_MAX: Final = 8 * 1024 * 1024
"""Bytes of all files that hold documents of the spec, together."""
ENDINGS: Final = (".yaml", ".yml")
KINDS: Final = ("Fleet", "Application")
_PREFIX: Final = API_VERSION.partition("/")[0] + "/"
_HINT: Final = re.compile(
    rf"{_PREFIX}|^[\"']?(fleet[\"']?\s*:|kind[\"']?\s*:\s*[\"']?({'|'.join(KINDS)})\b)", re.MULTILINE
)
"""What a file has that may hold a spec document; any other is set aside without being parsed."""


@dataclass(slots=True)
class SpecSources:
    """What was read: the documents, the files set aside, and what is wrong so far."""

    documents: list[Document] = field(default_factory=list)
    ignored: list[Path] = field(default_factory=list)
    """YAML files of the folder that hold no spec document."""
    problems: list[Problem] = field(default_factory=list)


def read_sources(path: Path) -> SpecSources:
    """Return the spec documents of a file, or of a folder and its subfolders; problems are collected."""
    sources = SpecSources()
    if not path.is_dir():
        _read_file(path, sources)
        return sources
    size = 0
    for file in _yaml_files(path, sources):
        size += _read_one_of_many(file, sources, FLEET_SIZE_MAX - size)
        if size > FLEET_SIZE_MAX:
            message = f"the files of {path} hold over {FLEET_SIZE_MAX} bytes together"
            sources.problems.append(Problem(str(file), 1, "", message, "split the fleet"))
            break
    if not sources.documents and not sources.problems:
        remedy = f"a document of the spec has apiVersion: {API_VERSION}"
        sources.problems.append(Problem(str(path), 1, "", "no file in this folder is a capacity spec", remedy))
    return sources


def is_spec(content: Any) -> bool:  # noqa: ANN401  whatever YAML holds
    """Return whether a document is meant as one of ours; other tools also have an `apiVersion` and a `kind`."""
    if not isinstance(content, dict):
        return False
    if "apiVersion" in content:
        return str(content["apiVersion"]).startswith(_PREFIX)
    return content.get("kind") in KINDS or "fleet" in content


def _read_file(path: Path, sources: SpecSources) -> None:
    try:
        text = read_text(path, FLEET_SIZE_MAX)
    except DocumentError as error:
        sources.problems += error.problems
        return
    sources.documents, sources.problems = documents_and_problems(text, str(path))
    if not sources.documents and not sources.problems:
        sources.problems.append(Problem(str(path), 1, "", "is empty", "write a capacity spec"))


def _read_one_of_many(path: Path, sources: SpecSources, left: int) -> int:
    """Read one file of a folder, and return its size in bytes where it may hold spec documents, else 0."""
    try:
        text = read_text(path, FLEET_SIZE_MAX)
    except DocumentError as error:
        sources.problems += error.problems
        return 0
    if not _HINT.search(text):
        sources.ignored.append(path)
        return 0
    size = len(text.encode())
    if size > left:
        return size
    documents, problems = documents_and_problems(text, str(path))
    sources.problems += problems
    if not problems and not any(is_spec(document.content) for document in documents):
        sources.ignored.append(path)
        return 0
    for document in documents:
        if is_spec(document.content):
            sources.documents.append(document)
        elif not problems:
            message = "is not a document of a capacity spec"
            remedy = f"write apiVersion: {API_VERSION} and its kind, or move it to another file"
            sources.problems.append(Problem(str(path), document.line(()), "", message, remedy))
    return size


def _yaml_files(folder: Path, sources: SpecSources) -> list[Path]:
    found: list[Path] = []

    def refused(error: OSError) -> None:
        sources.problems.append(Problem(str(error.filename), 1, "", error.strerror or "cannot be read", "check it"))

    for here, folders, files in os.walk(folder, onerror=refused):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names = [name for name in files if name.endswith(ENDINGS) and not name.startswith(".")]
        found += [path for name in names if (path := Path(here, name)).is_file() or path.is_symlink()]
    return sorted(found)
