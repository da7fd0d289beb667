"""Pictures that a .csv or .jsonl file lists, with their captions, as other tools write such lists."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ....errors import SCEditError, shown
from ....files.names import existing_parts, leads_out
from ..captions import MOST_CAPTION
from ..pictures import is_picture
from .sources import LeftOut, Source, file_version

LISTS = (".csv", ".jsonl")
PATHS = ("path", "file", "file_name", "filename", "image", "image_path")
CAPTIONS = ("caption", "text", "prompt")
HINTS = ("hint", "hint_path", "conditioning_image")
_MOST_LINE = 1_000_000  # characters
_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class ListSources:
    """The pictures that a list names, by paths below the folder that the list lies in."""

    file: Path

    def walk(self, left_out: LeftOut) -> Iterator[Source]:
        """Pictures in the order of the list. Raises SCEditError for a list that is none."""
        root = self.file.parent
        for number, row in self._rows():
            found = {key: value for key, value in row.items() if isinstance(value, str)}
            name = _first(found, PATHS)
            path = None if name is None else _below(root, name)
            where = f"'{shown(name)}' in line {number}"
            if name is None or path is None:
                left_out.add(f"{where} (no path below '{shown(root.name)}')")
            elif not is_picture(path) or not path.is_file():
                left_out.add(f"{where} (no such picture)")
            else:
                yield self._source(root, path, found)

    def _source(self, root: Path, path: Path, row: Mapping[str, str]) -> Source:
        caption = _first(row, CAPTIONS)
        text = None if caption is None else " ".join(caption[:MOST_CAPTION].split())
        given = _first(row, HINTS)
        hint = None if given is None else _below(root, given)
        versions = [file_version(file) for file in (path, hint) if file is not None]
        return Source(path.relative_to(root).as_posix(), (*versions, text), path, text, hint)

    def _rows(self) -> Iterator[tuple[int, Mapping[str, object]]]:
        """Number of the line and the values by column of each row."""
        try:
            with self.file.open(encoding="utf-8-sig", newline="") as lines:
                yield from (_csv if self.file.suffix.lower() == ".csv" else _jsonl)(self.file.name, lines)
        except UnicodeDecodeError as error:
            raise SCEditError(
                f"'{shown(self.file.name)}' is not UTF-8 text ({error.reason}); save it again as UTF-8"
            ) from error
        except OSError as error:
            raise SCEditError(
                f"'{shown(self.file.name)}' cannot be read ({error.strerror or error}); choose another list"
            ) from error


def _csv(name: str, lines: TextIO) -> Iterator[tuple[int, Mapping[str, object]]]:
    head = lines.readline(_MOST_LINE)
    delimiter = max(_DELIMITERS, key=head.count)
    columns = [column.strip().lower() for column in next(csv.reader([head], delimiter=delimiter), [])]
    _check_columns(name, columns)
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        for row in reader:
            if row:
                yield reader.line_num + 1, {columns[n]: cell for n, cell in enumerate(row[: len(columns)])}
    except csv.Error as error:
        raise SCEditError(
            f"line {reader.line_num + 1} of '{shown(name)}' is no row of a table ({error}); mend it"
        ) from error


def _jsonl(name: str, lines: TextIO) -> Iterator[tuple[int, Mapping[str, object]]]:
    number = 0
    while line := lines.readline(_MOST_LINE):
        number += 1
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SCEditError(
                f"line {number} of '{shown(name)}' is no JSON ({shown(error)}); each line is one picture, "
                'such as {"path": "cats/1.jpg", "caption": "a cat"}'
            ) from error
        if not isinstance(row, dict):
            raise SCEditError(
                f"line {number} of '{shown(name)}' holds no names and values; each line is one picture, such "
                'as {"path": "cats/1.jpg", "caption": "a cat"}'
            )
        if number == 1:
            _check_columns(name, list(row))
        yield number, row


def _check_columns(name: str, columns: list[str]) -> None:
    if not set(columns) & set(PATHS):
        raise SCEditError(
            f"'{shown(name)}' has no column of paths: it has {', '.join(map(shown, columns[:8])) or 'none'}; "
            f"call one {' or '.join(PATHS[:4])}, and that of captions {' or '.join(CAPTIONS)}"
        )


def _first(row: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((row[name] for name in names if row.get(name, "").strip()), None)


def _below(root: Path, name: str) -> Path | None:
    """The file of this name below a folder; None if the name leads out of it."""
    parts = existing_parts(name.strip())
    path = root.joinpath(*parts)
    return path if parts and not leads_out(root, path) else None
