"""The key layouts of tuner files: one row of FORMATS each, read both ways. Strings and dicts only.

Canonical keys are those of SCTunerSet and CSCTunerSet: `tuners.{block}.{down,up}`, `hint_encoder.pre.{0..6}`
and `hint_encoder.dense.{block}`, with blocks in output order.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from .errors import SCEditError
from .spec import TunerOp

_LAYER_OF_LN = {"1": "down", "2": "up"}
_LN_OF_LAYER = {layer: ln for ln, layer in _LAYER_OF_LN.items()}

# What stands for each {field} of a key; prefix and adapter must be the same in all keys of a file.
_PATTERNS = {
    "prefix": r"(?:model\.)?(?:control_blocks\.)?(?:0\.)?",
    "adapter": r"[^.\r\n]+",
    "block": r"0|[1-9]\d?",
    "input_block": r"0|[1-9]\d?",
    "pre_layer": r"0|2|4|6|8|10|12",
    "conv": r"[0-6]",
    "ln": r"[12]",
    "layer": r"down|up",
    "leaf": r"weight|bias",
}
_CONSTANTS = ("prefix", "adapter")


@dataclass(frozen=True)
class KeyRule:
    """One kind of key: as the file writes it, and as we call it."""

    in_file: str
    canonical: str


@dataclass(frozen=True)
class Format:
    """A file layout. A file has it if every key follows one rule and every rule is used.

    `ops` are the forms of tuner that its authors' tools write; only ours writes others than adapters.
    """

    name: str
    kind: Literal["sc", "csc"]
    rules: tuple[KeyRule, ...]
    ops: tuple[TunerOp, ...] = ("adapter",)


_TUNER = "tuners.{block}.{layer}.{leaf}"
_PRE = "hint_encoder.pre.{conv}.{leaf}"
_DENSE = "hint_encoder.dense.{block}.{leaf}"

_DUAL = "hint_encoder.dense.{block}.{layer}.{leaf}"
_ALL_OPS: tuple[TunerOp, ...] = ("adapter", "conv", "lora")


def _own(*templates: str) -> tuple[KeyRule, ...]:
    return tuple(KeyRule(template, template) for template in templates)


FORMATS = (
    Format("SCEdit SC-Tuner", "sc", _own(_TUNER), _ALL_OPS),
    Format("SCEdit CSC-Tuner", "csc", _own(_TUNER, _PRE, _DENSE), _ALL_OPS),
    Format("SCEdit CSC-Tuner with dual convs", "csc", _own(_TUNER, _PRE, _DUAL), _ALL_OPS),
    Format(
        "scepter SC-Tuner", "sc", (KeyRule("{prefix}lsc_identity.{block}.tuner_op.ln{ln}.{leaf}", _TUNER),)
    ),
    Format(
        "swift SC-Tuner",
        "sc",
        (KeyRule("{prefix}lsc_identity.{block}.scetuner_{adapter}.tuner_op.ln{ln}.{leaf}", _TUNER),),
    ),
    Format(
        "scepter CSC-Tuner",
        "csc",
        (
            KeyRule("{prefix}lsc_tuner_blocks.{block}.tuner_op.ln{ln}.{leaf}", _TUNER),
            KeyRule("{prefix}pre_hint_blocks.{pre_layer}.{leaf}", _PRE),
            KeyRule("{prefix}dense_hint_blocks.{input_block}.1.{leaf}", _DENSE),
        ),
    ),
)


@dataclass(frozen=True)
class DetectedFormat:
    """A layout and what is the same in all keys of one file; translates keys both ways.

    `blocks` is the number of the U-Net's skips, by which input order and output order are turned into each
    other.
    """

    format: Format
    constants: Mapping[str, str]
    blocks: int

    def canonical(self, key: str) -> str:
        """Our name of a key of the file."""
        rule, fields = _match(self.format, key)
        if rule is None:
            raise SCEditError(f"'{key}' is not a key of the {self.format.name} layout")
        return rule.canonical.format(**_to_canonical(fields, self.blocks))

    def in_file(self, canonical_key: str) -> str:
        """The file's name of one of our keys."""
        for rule in self.format.rules:
            match = re.fullmatch(_regex(rule.canonical), canonical_key)
            if match is not None:
                return rule.in_file.format(**_to_file(match.groupdict(), self.blocks), **self.constants)
        raise SCEditError(f"'{canonical_key}' has no place in the {self.format.name} layout")


def detect_format(keys: Collection[str], blocks: int | None = None) -> DetectedFormat:
    """The one layout that explains all keys. Raises SCEditError, naming keys, if there is none.

    `blocks` is the number of skips where a configuration states it; else one more than the highest index.
    """
    for row in FORMATS:
        matches = [_match(row, key) for key in keys]
        used = {rule for rule, _ in matches}
        if None not in used and used == set(row.rules):
            count = _count(matches)
            if row.kind == "csc" and blocks is not None and blocks < count:
                raise SCEditError(
                    f"is configured for a U-Net with {blocks} skips but has keys for {count}; put the "
                    "configuration.json that came with the file beside it"
                )
            return DetectedFormat(row, _constants(fields for _, fields in matches), blocks or count)
    raise SCEditError(_unexplained(keys))


def _unexplained(keys: Collection[str]) -> str:
    """Say what keeps the closest layout from explaining these keys."""
    known = {row: {key for key in keys if _match(row, key)[0] is not None} for row in FORMATS}
    row = max(FORMATS, key=lambda candidate: len(known[candidate]))
    if not known[row]:
        return (
            f"not an SCEdit tuner: none of its {len(keys)} keys ({_some(keys)}) is an SC-Tuner's or a "
            "CSC-Tuner's; choose a file trained with SCEdit"
        )
    extra = set(keys) - known[row]
    if extra:
        return (
            f"looks like a {row.name} but has extra keys that no tuner has: {_some(extra)}; "
            "choose a whole, unmixed file"
        )
    used = {_match(row, key)[0] for key in keys}
    missing = [_example(rule) for rule in row.rules if rule not in used]
    return f"looks like a {row.name} but has missing keys, like {_some(missing)}; get the whole file again"


def _example(rule: KeyRule) -> str:
    """A key of this kind as it would stand in a file, with * for numbers."""
    return re.sub(r"\{\w+\}", "*", rule.in_file.replace("{prefix}", "").replace("{leaf}", "weight"))


def _some(keys: Iterable[str], most: int = 3) -> str:
    names = [key if key.isprintable() else repr(key) for key in sorted(keys)]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _regex(template: str) -> str:
    parts = re.split(r"\{(\w+)\}", template)
    return "".join(f"(?P<{p}>{_PATTERNS[p]})" if i % 2 else re.escape(p) for i, p in enumerate(parts))


def _match(row: Format, key: str) -> tuple[KeyRule | None, dict[str, str]]:
    for rule in row.rules:
        match = re.fullmatch(_regex(rule.in_file), key)
        if match is not None:
            return rule, match.groupdict()
    return None, {}


def _constants(fields: Iterable[Mapping[str, str]]) -> dict[str, str]:
    seen = {tuple((name, row[name]) for name in _CONSTANTS if name in row) for row in fields}
    if len(seen) > 1:
        found = sorted(" ".join(value for _, value in constants) for constants in seen)
        raise SCEditError(f"holds several tuners in one file (key parts {found}); keep one tuner per file")
    return dict(seen.pop())


def _count(matches: Iterable[tuple[KeyRule | None, Mapping[str, str]]]) -> int:
    indices = (
        int(fields[name]) for _, fields in matches for name in ("block", "input_block") if name in fields
    )
    return 1 + max(indices)


def _to_canonical(fields: Mapping[str, str], blocks: int) -> dict[str, str]:
    out = dict(fields)
    if "input_block" in fields:
        out["block"] = str(blocks - 1 - int(fields["input_block"]))
    if "pre_layer" in fields:
        out["conv"] = str(int(fields["pre_layer"]) // 2)
    if "ln" in fields:
        out["layer"] = _LAYER_OF_LN[fields["ln"]]
    return out


def _to_file(fields: Mapping[str, str], blocks: int) -> dict[str, str]:
    out = dict(fields)
    if "block" in fields:
        out["input_block"] = str(blocks - 1 - int(fields["block"]))
    if "conv" in fields:
        out["pre_layer"] = str(int(fields["conv"]) * 2)
    if "layer" in fields:
        out["ln"] = _LN_OF_LAYER[fields["layer"]]
    return out
