"""Tables 1, 2, 5 and 6 of the paper in small: SCEdit's tuners and their peers, trained on the sandbox.

    python dev.py bench paper_tables [--table 1 2 5 6] [--steps N] [--seeds 0 1 2] [--json FILE]

Every method learns from the same scenes with the same batches, noise, loss, optimizer and number of steps,
and in Tables 1 and 2 also for the same time. Each figure is appended to FILE as a line of JSON as soon as it
is there: a run that was cut goes on, and further seeds or tables add to it. `--sweep RATE ...` trains each
method at several rates instead, with a seed that no table uses, and prints their losses. All of it takes
about 40 minutes of one quiet CPU core.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from paper_lessons import REPOSITORY, Lesson, Lessons, opened
from paper_methods import BATCHES, METHODS, STEPS, TABLES, TIMED, Table

TIME_ROUNDS = 9
SWEEP_SEED = 100
BASE = "base model"
WEIGHT_BYTES = 12  # of a trained weight beside itself: its gradient and AdamW's two moments

Record = dict[str, Any]


class Records:
    """Lines of JSON, one for each figure; read again before each look, as several processes may write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        whole, end, torn = path.read_text(encoding="utf-8").rpartition("\n") if path.is_file() else ("",) * 3
        if torn:  # a process was killed while it wrote
            path.write_text(whole + end, encoding="utf-8")

    def all(self, facts: Record) -> list[Record]:
        """Records that say this."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        found = [json.loads(line) for line in lines]
        return [one for one in found if all(one.get(name) == fact for name, fact in facts.items())]

    def add(self, record: Record) -> None:
        """Append one, and say it."""
        line = json.dumps(record)
        print(line, flush=True)
        with self.path.open("a", encoding="utf-8") as out:
            out.write(line + "\n")


class Benchmark:
    """Trains and measures what is not in the records yet."""

    def __init__(self, lessons: Lessons, records: Records, steps: int | None) -> None:
        self.lessons, self.records = lessons, records
        self.steps = {name: steps or count for name, count in STEPS.items()}
        self._taught: dict[str, Lesson] = {}
        self._paper_run = importlib.import_module("paper_run")

    def costs(self, names: Iterable[str]) -> None:
        """Trained weights, bytes and time of a step of each method; times from rounds that alternate."""
        missing = [name for name in names if not self.records.all({"kind": "cost", "method": name})]
        references = [TIMED[METHODS[name].lesson] for name in missing]
        runs = {name: self._run(name, SWEEP_SEED) for name in dict.fromkeys([*references, *missing])}
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(TIME_ROUNDS + 1):
            for name, run in runs.items():
                began = time.process_time()
                run.advance()
                seconds[name].append(time.process_time() - began)
        for name in missing:
            ratios = [a / b for a, b in zip(seconds[name], seconds[TIMED[METHODS[name].lesson]], strict=True)]
            size, kept = runs[name].count(), runs[name].kept()
            took = statistics.median(ratios[1:])  # the first round warms up
            cost = {"kind": "cost", "method": name, "parameters": size, "kept": kept, "time": took}
            self.records.add(cost)

    def without(self, lesson: str) -> None:
        """The base model's own figures, by tuners that have learnt nothing and change nothing."""
        facts = {"kind": "figure", "method": BASE, "lesson": lesson}
        if not self.records.all(facts):
            name = TIMED[lesson]
            self.records.add({**facts, "seed": 0, "steps": 0, **self._measured(self._run(name, 0), lesson)})

    def train(self, name: str, seed: int) -> None:
        """One method with one seed, measured after the steps of all and after the time of all."""
        lesson = METHODS[name].lesson
        wanted = {"steps": self.steps[lesson]}
        if any(name in TABLES[table].methods for table in (1, 2)):
            (cost,) = self.records.all({"kind": "cost", "method": name})
            wanted["time"] = round(wanted["steps"] / cost["time"])
        facts = {"kind": "figure", "method": name, "lesson": lesson, "seed": seed}
        missing = {of: n for of, n in wanted.items() if not self.records.all({**facts, "steps": n, "of": of})}
        run = self._run(name, seed) if missing else None
        for steps in sorted(set(missing.values())):
            run.learn(steps)
            found = {"steps": steps, **self._measured(run, lesson)}
            for of in (of for of, n in missing.items() if n == steps):
                self.records.add({**facts, "of": of, **found})

    def sweep(self, name: str, rate: float) -> float:
        """Mean training loss in the second half of half of the steps, at a rate."""
        run, steps = self._run(name, SWEEP_SEED, rate), self.steps[METHODS[name].lesson] // 2
        run.learn(steps)
        return statistics.fmean(run.losses[steps // 2 :])

    def _measured(self, run: Any, lesson: str) -> Record:
        taught = self._lesson(lesson)
        figure = taught.score(self.lessons.painted(run, taught))
        loss = self._paper_run.held_out_loss(run, taught.held_out)
        return {"rate": run.config.learning_rate, "figure": figure, "loss": loss, "seconds": run.seconds}

    def _run(self, name: str, seed: int, rate: float | None = None) -> Any:
        method = METHODS[name]
        config = importlib.import_module("scedit_pack.scedit_core.training").TrainConfig(
            steps=self.steps[method.lesson],
            batch_size=BATCHES[method.lesson],
            learning_rate=rate or method.rate,
            caption_dropout=0.1,
            ema_decay=0.98,
            seed=seed,
        )
        torch.manual_seed(seed)
        tuned, data = method.make(self.lessons), self._lesson(method.lesson).data
        return self._paper_run.Run(tuned, self.lessons.base, self.lessons.unet, data, config)

    def _lesson(self, name: str) -> Lesson:
        if name not in self._taught:
            self._taught[name] = self.lessons.style() if name == "style" else self.lessons.control()
        return self._taught[name]


def report(records: Records, table: Table, steps: int) -> None:
    """Print a table as Markdown: what is there of it."""
    lesson = METHODS[table.reference].lesson
    timed = "time" if table.reference in ("full tuning", "ControlNet") else ""
    figure = "edge F1" if lesson == "control" else "style distance"
    heads = [figure, "held-out loss", *([f"{figure}, same time"] if timed else ())]
    heads += ["weights", "MB kept", "MB with optimizer", "time", "the paper: FID, memory, time"]
    print(f"\n{table.title}, {steps} steps of {BATCHES[lesson]} pictures\n")
    print(f"| method | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    without = records.all({"kind": "figure", "method": BASE, "lesson": lesson})
    for one in without:
        print(f"| {BASE} | {one['figure']:.3f} | {one['loss']:.4f} |{' |' * (len(heads) - 2)}")
    reference = records.all({"kind": "cost", "method": table.reference})
    for name, paper in table.methods.items():
        found = records.all({"kind": "figure", "method": name, "of": "steps", "steps": steps})
        cells = [spread([one["figure"] for one in found], 3), spread([one["loss"] for one in found], 4)]
        if timed:
            same = records.all({"kind": "figure", "method": name, "of": "time"})
            cells.append(
                spread([one["figure"] for one in same], 3) + (f" at {same[0]['steps']}" if same else "")
            )
        for cost in records.all({"kind": "cost", "method": name})[:1]:
            held = cost["kept"] + WEIGHT_BYTES * cost["parameters"]
            ratio = cost["time"] / reference[0]["time"] if reference else float("nan")
            cells += [
                f"{cost['parameters']:,}",
                f"{cost['kept'] / 1e6:.1f}",
                f"{held / 1e6:.1f}",
                f"{ratio:.2f}",
            ]
        print(f"| {name} | {' | '.join([*cells, paper])} |")


def spread(values: Sequence[float], digits: int) -> str:
    """Mean, and the least and most of several."""
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=int, nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--steps", type=int, help=f"of each training; else {STEPS}")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--json", type=Path, default=REPOSITORY / "output" / "paper_tables" / "figures.jsonl")
    parser.add_argument("--sweep", type=float, nargs="+", metavar="RATE", help="compare rates instead")
    options = parser.parse_args()
    names = list(dict.fromkeys(name for table in options.table for name in TABLES[table].methods))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    records = Records(options.json)
    with opened(options.json.parent) as lessons:
        benchmark = Benchmark(lessons, records, options.steps)
        if options.sweep:
            for name in names:
                losses = {rate: benchmark.sweep(name, rate) for rate in options.sweep}
                print(name, *(f"{rate:g}: {loss:.4f}" for rate, loss in losses.items()), flush=True)
            return
        benchmark.costs(names)
        for lesson in dict.fromkeys(METHODS[name].lesson for name in names):
            benchmark.without(lesson)
        for seed in options.seeds:
            for name in names:
                benchmark.train(name, seed)
    for table in options.table:
        chosen = TABLES[table]
        report(records, chosen, options.steps or STEPS[METHODS[chosen.reference].lesson])


if __name__ == "__main__":
    main()
