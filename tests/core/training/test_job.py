"""Job files: what they say becomes a Job and a text again, and whatever is wrong ends in one sentence."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from scedit_core import SCEditError
from scedit_core.training import TrainConfig
from scedit_core.training.job import job_text, read_job
from scedit_core.training.job.keys import keys_of
from scedit_core.training.job.parts import PARTS
from scedit_core.training.job.reading import parse_job
from scedit_core.training.job.writing import with_whole_paths

SMALL = """
[model]
checkpoint = "base.safetensors"

[tuner]
kind = "csc"

[data]
folder = "pictures"
hints = ["canny"]

[run]
name = "edges"
"""
HERE = Path("/jobs")


def changed(old="", new=""):
    """The small job with something else in it."""
    assert old in SMALL
    return SMALL.replace(old, new, 1) if old else f"{SMALL}\n{new}"


def test_what_is_left_out_has_the_defaults_of_the_kind_that_is_trained():
    control = parse_job(SMALL, HERE)
    style = parse_job(changed('kind = "csc"', 'kind = "sc"').replace('hints = ["canny"]', ""), HERE)
    assert (control.training.steps, control.run.save_every) == (10_000, 1000)
    assert (style.training.steps, style.run.save_every) == (1500, 250)
    assert (control.data.resolution, control.training.accumulation, control.model.dtype) == (512, 4, "auto")
    assert control.controls(1) == 1
    assert style.controls(1) == 0


def test_settings_become_those_of_the_training():
    more = '[training]\nsteps = 7\nlearning_rate = 1\nseed = 18446744073709551615\nmemory = "least"'
    job = parse_job(changed(new=more), HERE)
    wanted = {"steps": 7, "accumulation": 4, "learning_rate": 1.0, "seed": 2**64 - 1, "recompute": "all"}
    assert job.training.config() == TrainConfig(**wanted)
    assert isinstance(job.training.learning_rate, float)


def test_a_job_that_is_written_is_read_as_the_same_one():
    job = parse_job(changed(new="[training]\nlearning_rate = 3e-5"), HERE)
    odd = 'a "quoted" \\ text\n\twith \x7f \x01, 汉字 and \U0001f600 in it'
    odd_data = replace(job.data, folder="C:\\new\\table", trigger=odd, hints=("canny", "color"))
    job = replace(job, data=odd_data, run=replace(job.run, prompts=(odd, "")))
    assert parse_job(job_text(job), HERE) == job
    assert "# How far each step goes. The paper uses 5e-5" in job_text(job)


def test_paths_begin_where_the_job_lies_and_can_be_made_whole(tmp_path):
    (tmp_path / "base.safetensors").write_bytes(b"weights")
    (tmp_path / "job.toml").write_text(SMALL)
    job = read_job(tmp_path / "job.toml")
    assert job.output == tmp_path / "edges"
    whole = with_whole_paths(job)
    elsewhere = parse_job(job_text(whole), HERE)
    assert elsewhere.path(elsewhere.data.folder) == tmp_path / "pictures"
    assert elsewhere.model.checkpoint == str(tmp_path / "base.safetensors")
    assert elsewhere.output == tmp_path / "edges"
    (tmp_path / "base.safetensors").unlink()
    assert with_whole_paths(job).model.checkpoint == "base.safetensors"  # the name of one of ComfyUI's
    assert with_whole_paths(job).data.dataset == ""


@pytest.mark.parametrize("part", PARTS)
def test_every_key_is_explained_and_its_default_is_allowed(part):
    for name, key in keys_of(PARTS[part]):
        assert key.says.endswith(".")
        for kind in ("sc", "csc"):
            usual = key.usual(kind)
            given = list(usual) if key.kind == "texts" else usual
            assert key.is_needed or key.checked(name, given) == usual


def in_training(line):
    return changed(new=f"[training]\n{line}")


def in_run(line):
    return changed('name = "edges"', f'name = "edges"\n{line}')


def in_data(line):
    return changed('folder = "pictures"', f'folder = "pictures"\n{line}')


BAD = {
    "no TOML": ("a b\n", ["is no TOML", "line 1", "texts stand in quotes"]),
    "a Windows path in double quotes": (
        changed('"pictures"', '"D:\\pictures"'), ["is no TOML", "in single ones"],
    ),
    "a text without quotes": (changed('"edges"', "edges"), ["is no TOML", "texts stand in quotes"]),
    "nothing": ("", ["[model] checkpoint is missing", "write it down"]),
    "unknown part": (
        changed(new="[trainning]\nsteps = 1"), ["a part [trainning]", "did you mean 'training'?"],
    ),
    "no part at all": (changed("[model]", "[zebra]"), ["a part [zebra]", "known are model, tuner, data"]),
    "a key in place of a part": ("model = 3", ["model is a part of a job: write [model]"]),
    "misspelt key": (in_training("learnin_rate = 1"), ["'learnin_rate'", "did you mean 'learning_rate'?"]),
    "unknown key": (in_training("zebra = 1"), ["[training] has a key 'zebra'", "known are steps, "]),
    "key missing": (changed('kind = "csc"'), ["[tuner] kind is missing", "sc: a style"]),
    "text for a number": (
        in_training('steps = "12"'), ["[training] steps takes a whole number", "'12'", "steps = 4"],
    ),
    "fraction for a whole number": (in_training("steps = 1e4"), ["a whole number", "the number 10000.0"]),
    "switch for a number": (in_training("steps = true"), ["takes a whole number, got true"]),
    "number for a switch": (in_data("buckets = 1"), ["buckets takes true or false", "the number 1"]),
    "number for a text": (in_data("trigger = 1"), ["takes a text in quotes, got the number 1"]),
    "text for a list": (
        changed('["canny"]', '"canny"'), ["hints takes a list", "the text 'canny'", 'hints = ["canny"'],
    ),
    "a list with numbers": (changed('["canny"]', "[1]"), ["takes a list of texts in quotes", "a list of 1"]),
    "a date": (in_training("steps = 2026-01-01"), ["got a date"]),
    "a table for a number": (in_training("steps = {a = 1}"), ["got a table"]),
    "nan": (in_training("learning_rate = nan"), ["learning_rate takes a number", "number nan"]),
    "too many steps": (
        in_training("steps = 0"), ["[training] steps must lie between 1 and 1e+07, got 0", "a style takes"],
    ),
    "a number beyond all fractions": (in_training(f"steps = {10**400}"), ["got a number without end"]),
    "a number too long to be written": (in_training(f"steps = 0x{'f' * 9000}"), ["got a number without end"]),
    "a number too long to be read": (in_training(f"steps = {'9' * 9000}"), ["is no TOML"]),
    "lists without end": (in_training(f"steps = {'[' * 9000}"), ["is no TOML"]),
    "infinity": (in_training("learning_rate = inf"), ["learning_rate takes a number", "number inf"]),
    "rate out of range": (in_training("learning_rate = 2"), ["between 1e-09 and 1, got 2", "5e-05"]),
    "hints out of range": (in_data("hint_variants = 65"), ["[data] hint_variants must lie between 1 and 64"]),
    "resolution too small": (in_data("resolution = 32"), ["[data] resolution must lie between 64 and 4096"]),
    "resolution between steps": (in_data("resolution = 500"), ["resolution is a multiple of 64", "got 500"]),
    "unknown word": (changed('"csc"', '"lora"'), ["[tuner] kind is one of sc, csc, got 'lora'"]),
    "unknown hint": (changed('"canny"', '"cany"'), ["[data] hints is one of canny, color", "got 'cany'"]),
    "even kernel": (changed('kind = "csc"', 'kind = "csc"\nkernel = 2'), ["odd (1 or 3), got 2"]),
    "blocks that are no numbers": (
        changed('kind = "csc"', 'kind = "csc"\nblocks = "all"'), ["blocks are numbers", "got 'all'"],
    ),
    "name that leads elsewhere": (changed('"edges"', '"../edges"'), ["is no name for a file here"]),
    "name with folders": (changed('"edges"', '"a/edges"'), ["a name without folders", "in output"]),
    "no SHA-256": (changed('"base.safetensors"', '"b"\nsha256 = "12"'), ["has 64 letters", "got '12'"]),
    "nothing to learn from": (changed('folder = "pictures"'), ["[data] names nothing to learn from"]),
    "hints for a style": (changed('"csc"', '"sc"'), ["hints are canny", "a style (kind sc) has none"]),
    "a control without hints": (changed('["canny"]', "[]"), ["hints is empty", 'hints = ["canny"]']),
    "a net's hints without a data set": (changed('"canny"', '"hed"'), ["hed, which a net finds"]),
    "five controls": (changed('["canny"]', str(["canny"] * 5)), ["names 5 kinds, at most 4"]),
    "one folder for two hints": (changed('["canny"]', str(["from folder"] * 2)), ["'from folder' twice"]),
    "too many samples": (in_run("samples = 65"), ["[run] samples must lie between 1 and 64"]),
    "what runs no code": (in_run('__import__ = "os"'), ["[run] has a key '__import__'"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD.keys())
def test_a_bad_job_is_refused_in_a_sentence_that_names_file_and_key(text, words, tmp_path):
    (tmp_path / "job.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SCEditError) as caught:
        read_job(tmp_path / "job.toml")
    said = str(caught.value)
    assert [word for word in ["'job.toml'", *words] if word not in said] == []
    assert said.isprintable()


def _missing(path):
    path.unlink()


def _latin(path):
    path.write_bytes('[run]\nname = "grün"'.encode("latin-1"))


def _huge(path):
    path.write_bytes(b"#" * 2_000_000)


def _folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_missing, ["there is no job file at", "example_jobs"]),
        (_folder, ["there is no job file at"]),
        (_latin, ["'job.toml' is no text in UTF-8", "save it as UTF-8"]),
        (_huge, ["larger than 1,000,000 bytes"]),
    ],
)
def test_a_file_that_is_no_job_is_refused(harm, words, tmp_path):
    path = tmp_path / "job.toml"
    path.write_text(SMALL)
    harm(path)
    with pytest.raises(SCEditError) as caught:
        read_job(path)
    assert [word for word in words if word not in str(caught.value)] == []


def test_an_older_python_is_told_what_reads_job_files(monkeypatch):
    reading = importlib.import_module("scedit_core.training.job.reading")
    monkeypatch.setattr(reading.sys, "version_info", (3, 10, 1))
    monkeypatch.setitem(reading.sys.modules, "tomli", None)
    with pytest.raises(SCEditError, match=r"for this one install 'tomli' with 'pip install tomli'"):
        parse_job(SMALL, HERE)


def test_half_characters_are_written_into_no_file():
    job = parse_job(SMALL, HERE)
    with pytest.raises(SCEditError, match=r"half a character"):
        job_text(replace(job, data=replace(job.data, trigger="\ud83d")))
