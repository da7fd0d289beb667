"""The key layouts of tuner files: one row of FORMATS each, read both ways. Strings and dicts only.

Canonical keys are those of SCTunerSet and CSCTunerSet: `tuners.{block}.{layer}`, `hint_encoder.pre.{0..6}`
and `hint_encoder.dense.{block}` in output order, `{input,resnet}_tuners.{input}.{layer}` in input order.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..errors import SCEditError, some
from ..spec import STEM_CONVS, Kind, TunerOp

_LAYER_OF_LN = {"1": "down", "2": "up"}
_LN_OF_LAYER = {layer: ln for ln, layer in _LAYER_OF_LN.items()}
_LAYER_OF_LINEAR = {"0": "down", "2": "mid", "4": "up"}
_LINEAR_OF_LAYER = {layer: linear for linear, layer in _LAYER_OF_LINEAR.items()}

# What stands for each {field} of a key; those of _CONSTANTS must be the same in all keys of a file.
_PATTERNS = {
    "prefix": r"(?:model\.)?(?:control_blocks\.)?(?:0\.)?",
    "unet": r"(?:unet\.)?",
    "adapter": r"[^.\r\n]+",
    "block": r"0|[1-9]\d?",
    "input_block": r"0|[1-9]\d?",
    "input": r"0|[1-9]\d?",
    "up": r"\d",
    "down": r"\d",
    "nth": r"\d",
    "linear": r"0|2|4",
    "pre_layer": "|".join(str(2 * conv) for conv in range(STEM_CONVS)),  # a SiLU stands between two convs
    "conv": "|".join(map(str, range(STEM_CONVS))),
    "ln": r"[12]",
    "layer": r"down|mid|up",
    "leaf": r"weight|bias",
}
_CONSTANTS = ("prefix", "unet", "adapter")


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile(
        "".join(f"(?P<{p}>{_PATTERNS[p]})" if i % 2 else re.escape(p) for i, p in enumerate(parts))
    )


@dataclass(frozen=True)
class KeyRule:
    """One kind of key: as the file writes it, and as we call it."""

    in_file: str
    canonical: str

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the keys of this kind in a file."""
        return _pattern(self.in_file)

    @cached_property
    def canonical_pattern(self) -> re.Pattern[str]:
        """Matches our names of them."""
        return _pattern(self.canonical)


@dataclass(frozen=True)
class Format:
    """A file layout. A file has it if every key follows one rule and every rule is used.

    `ops` are the forms of tuner that its authors' tools write; only ours writes others than adapters. A
    layout that `is_partial` may use any of its rules.
    """

    name: str
    kind: Kind
    rules: tuple[KeyRule, ...]
    ops: tuple[TunerOp, ...] = ("adapter",)
    is_partial: bool = False

    def takes(self, rules: set[KeyRule | None]) -> bool:
        """True if keys that follow these rules (None: no rule) are a whole file of this layout."""
        return None not in rules and (bool(rules) if self.is_partial else rules == set(self.rules))


_TUNER = "tuners.{block}.{layer}.{leaf}"
_PRE = "hint_encoder.pre.{conv}.{leaf}"
_DENSE = "hint_encoder.dense.{block}.{leaf}"
_DUAL = "hint_encoder.dense.{block}.{layer}.{leaf}"
_INPUT = "input_tuners.{input}.{layer}.{leaf}"
_RESNET = "resnet_tuners.{input}.{layer}.{leaf}"
_ALL_OPS: tuple[TunerOp, ...] = ("adapter", "conv", "lora", "mlp")
_SWIFT = "scetuner_{adapter}.tuner_op.ln{ln}.{leaf}"


def _own(*templates: str) -> tuple[KeyRule, ...]:
    return tuple(KeyRule(template, template) for template in templates)


FORMATS = (
    Format("SCEdit SC-Tuner", "sc", _own(_TUNER), _ALL_OPS),
    Format("SCEdit CSC-Tuner", "csc", _own(_TUNER, _PRE, _DENSE), _ALL_OPS),
    Format("SCEdit CSC-Tuner with dual convs", "csc", _own(_TUNER, _PRE, _DUAL), _ALL_OPS),
    Format("SCEdit encoder tuner", "sc", _own(_INPUT, _RESNET), is_partial=True),
    Format(
        "scepter SC-Tuner", "sc", (KeyRule("{prefix}lsc_identity.{block}.tuner_op.ln{ln}.{leaf}", _TUNER),)
    ),
    Format(
        "swift SC-Tuner",
        "sc",
        (KeyRule("{prefix}lsc_identity.{block}." + _SWIFT, _TUNER),),
    ),
    Format(
        "swift SC-Tuner on diffusers",
        "sc",
        (KeyRule("{unet}up_blocks.{up}.resnets.{nth}." + _SWIFT, _TUNER),),
    ),
    Format(
        "swift encoder tuner on diffusers",
        "sc",
        (
            KeyRule("{unet}conv_in." + _SWIFT, "input_tuners.0.{layer}.{leaf}"),
            KeyRule("{unet}down_blocks.{down}.downsamplers.0." + _SWIFT, _INPUT),
            KeyRule("{unet}down_blocks.{down}.attentions.{nth}." + _SWIFT, _INPUT),
            KeyRule("{unet}down_blocks.{down}.resnets.{nth}." + _SWIFT, _RESNET),
        ),
        is_partial=True,
    ),
    Format(
        "scedit-pytorch SC-Tuner",
        "sc",
        (KeyRule("{unet}up_blocks.{up}.sc_tuners.{nth}.{layer}.{leaf}", _TUNER),),
    ),
    Format(
        "scedit-pytorch SC-Tuner of three layers",
        "sc",
        (KeyRule("{unet}up_blocks.{up}.sc_tuners.{nth}.model.{linear}.{leaf}", _TUNER),),
        ("mlp",),
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
    other. `per_level` is the number of skips that each of its levels has, by which diffusers' levels are
    counted through; `is_counted` says that it was counted in a file that may have gaps.
    """

    format: Format
    constants: Mapping[str, str]
    blocks: int
    per_level: int = 3
    is_counted: bool = field(default=False, compare=False)

    def canonical(self, key: str) -> str:
        """Our name of a key of the file."""
        rule, fields = _match(self.format, key)
        if rule is None:
            raise SCEditError(f"'{key}' is not a key of the {self.format.name} layout")
        return rule.canonical.format(**_to_canonical(fields, self))

    def in_file(self, canonical_key: str) -> str:
        """The file's name of one of our keys."""
        for rule in self.format.rules:
            match = rule.canonical_pattern.fullmatch(canonical_key)
            if match is not None:
                key = rule.in_file.format(**_to_file(match.groupdict(), self), **self.constants)
                # rules of several places in a U-Net share a canonical name: only one of them leads back
                if _match(self.format, key)[0] is not None and self.canonical(key) == canonical_key:
                    return key
        raise SCEditError(f"'{canonical_key}' has no place in the {self.format.name} layout")


def detect_format(keys: Collection[str], blocks: int | None = None) -> DetectedFormat:
    """The one layout that explains all keys. Raises SCEditError, naming keys, if there is none.

    `blocks` is the number of skips where a configuration states it; else one more than the highest index.
    """
    for row in FORMATS:
        matches = [_match(row, key) for key in keys]
        used = {rule for rule, _ in matches}
        if row.takes(used):
            count = _count(matches)
            if row.kind == "csc" and blocks is not None and blocks < count:
                raise SCEditError(
                    f"is configured for a U-Net with {blocks} skips but has keys for {count}; put the "
                    "configuration.json that came with the file beside it"
                )
            constants = _constants(fields for _, fields in matches)
            per_level = _per_level(matches)
            return DetectedFormat(row, constants, blocks or count, per_level or 3, per_level is not None)
    raise SCEditError(_unexplained(keys))


def _unexplained(keys: Collection[str]) -> str:
    """Say what keeps the closest layout from explaining these keys."""
    known = {row: {key for key in keys if _match(row, key)[0] is not None} for row in FORMATS}
    row = max(FORMATS, key=lambda candidate: len(known[candidate]))
    if not known[row]:
        return (
            f"not an SCEdit tuner: none of its {len(keys)} keys ({some(keys)}) is an SC-Tuner's or a "
            "CSC-Tuner's; choose a file trained with SCEdit"
        )
    extra = set(keys) - known[row]
    if extra:
        return (
            f"looks like a {row.name} but has extra keys that no tuner has: {some(extra)}; "
            "choose a whole, unmixed file"
        )
    used = {_match(row, key)[0] for key in keys}
    missing = [_example(rule) for rule in row.rules if rule not in used]
    return f"looks like a {row.name} but has missing keys, like {some(missing)}; get the whole file again"


def _example(rule: KeyRule) -> str:
    """A key of this kind as it would stand in a file, with * for numbers."""
    return re.sub(r"\{\w+\}", "*", rule.in_file.replace("{prefix}", "").replace("{leaf}", "weight"))


def _match(row: Format, key: str) -> tuple[KeyRule | None, dict[str, str]]:
    for rule in row.rules:
        match = rule.pattern.fullmatch(key)
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
    return 1 + max(indices, default=-1)


def _per_level(matches: Iterable[tuple[KeyRule | None, Mapping[str, str]]]) -> int | None:
    """Skips of each level of a diffusers U-Net, as far as the keys reach; None for other layouts.

    An up block has a resnet for each skip of its level, a down block one less and then its downsampler.
    """
    sizes = [
        int(fields.get("nth", 0)) + (1 if "up" in fields else 2)
        for _, fields in matches
        if "up" in fields or "down" in fields
    ]
    return max(sizes, default=None)


def _to_canonical(fields: Mapping[str, str], detected: DetectedFormat) -> dict[str, str]:
    out, size = dict(fields), detected.per_level
    if "input_block" in fields:
        out["block"] = str(detected.blocks - 1 - int(fields["input_block"]))
    if "up" in fields:
        out["block"] = str(int(fields["up"]) * size + int(fields["nth"]))
    if "down" in fields:  # input block 0 is conv_in; a downsampler is the last of its level
        out["input"] = str(int(fields["down"]) * size + 1 + int(fields.get("nth", size - 1)))
    if "pre_layer" in fields:
        out["conv"] = str(int(fields["pre_layer"]) // 2)
    if "ln" in fields:
        out["layer"] = _LAYER_OF_LN[fields["ln"]]
    if "linear" in fields:
        out["layer"] = _LAYER_OF_LINEAR[fields["linear"]]
    return out


def _to_file(fields: Mapping[str, str], detected: DetectedFormat) -> dict[str, str]:
    out, size = dict(fields), detected.per_level
    if "block" in fields:
        out["input_block"] = str(detected.blocks - 1 - int(fields["block"]))
        out["up"], out["nth"] = (str(part) for part in divmod(int(fields["block"]), size))
    if "input" in fields:
        out["down"], out["nth"] = (str(part) for part in divmod(int(fields["input"]) - 1, size))
    if "conv" in fields:
        out["pre_layer"] = str(int(fields["conv"]) * 2)
    if "layer" in fields:
        out["ln"] = _LN_OF_LAYER.get(fields["layer"], "")
        out["linear"] = _LINEAR_OF_LAYER[fields["layer"]]
    return out
