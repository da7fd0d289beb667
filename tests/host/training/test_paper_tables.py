"""The bench of the paper's tables trains what its records lack, and docs/evidence.md says what they hold."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from support import REPOSITORY

DOCS = REPOSITORY / "docs"


@pytest.fixture
def tables(pack: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark's module."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    return importlib.import_module("paper_tables")


@pytest.fixture
def records(tables: Any, tmp_path: Path) -> Any:
    """A copy of the published records."""
    return tables.Records(Path(shutil.copy(DOCS / "evidence.jsonl", tmp_path)))


class Trained(Exception):
    """Something is about to be trained."""


class Untrained:
    """Stands for the pictures and the model of a benchmark that has nothing left to do."""

    def __getattr__(self, _name: str) -> Any:
        raise Trained


def bench(tables: Any, records: Any) -> Any:
    return tables.Benchmark(Untrained(), records, None)


def all_of(tables: Any) -> list[str]:
    return sorted({name for table in tables.TABLES.values() for name in table.methods})


def make_again(benchmark: Any, record: Any, base: str) -> None:
    """Have the bench see to what one record holds."""
    if record["kind"] == "cost":
        benchmark.costs([record["method"]])
    elif record["method"] == base:
        benchmark.without(record["lesson"])
    else:
        benchmark.train(record["method"], record["seed"])


def test_what_is_recorded_is_not_trained_again(tables, records):
    whole = records.path.read_bytes()
    benchmark = bench(tables, records)
    benchmark.costs(all_of(tables))
    for lesson in tables.STEPS:
        benchmark.without(lesson)
    for name in all_of(tables):
        for seed in (0, 1, 2):
            benchmark.train(name, seed)
    assert records.path.read_bytes() == whole
    with pytest.raises(Trained):
        benchmark.train(all_of(tables)[0], 3)


@pytest.mark.parametrize("number", range(0, 91, 9))
def test_a_figure_that_is_missing_is_made_again(tables, records, number):
    lines = records.path.read_text().splitlines(keepends=True)
    gone = tables.json.loads(lines.pop(number))
    records.path.write_text("".join(lines))
    with pytest.raises(Trained):
        make_again(bench(tables, records), gone, tables.BASE)


def test_a_line_that_was_cut_while_it_was_written_is_left_out(tables, records):
    whole = records.path.read_text()
    records.path.write_text(whole + '{"kind": "fig')
    again = tables.Records(records.path)
    assert len(again.all({})) == len(whole.splitlines())
    again.add({"kind": "figure"})
    assert again.all({"kind": "figure"})[-1] == {"kind": "figure"}


@pytest.mark.parametrize("number", [1, 2, 5, 6])
def test_the_page_shows_what_is_recorded(tables, records, capsys, number):
    table = tables.TABLES[number]
    tables.report(records, table, tables.STEPS[tables.METHODS[table.reference].lesson])
    title, shown = capsys.readouterr().out.strip().split("\n\n")
    assert f"## {title}\n\n{shown}\n" in (DOCS / "evidence.md").read_text(encoding="utf-8")
