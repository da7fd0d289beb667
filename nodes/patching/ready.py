"""What is made before the U-Net runs: features and masks for the rows in use, and their strengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import comfy.model_management
import torch
from torch import Tensor

from ...scedit_core import CSCTunerSet, PreparedEdit, SCTunerSet, SkipEdit, build_tuners
from ...scedit_core.edit import Area, fitted_mask, hint_features, strengths_like
from ...scedit_core.hint import cycled
from ...scedit_core.strength import Rows
from ...scedit_core.tuner import Unset, tuners_in

Features = tuple[Tensor | None, ...]  # of each output block


@dataclass(frozen=True)
class Call:
    """One call of the U-Net: its latent's height and width, its rows, and where and in what it computes."""

    size: tuple[int, int]
    rows: int
    device: torch.device
    dtype: torch.dtype

    @property
    def like(self) -> Tensor:
        """A tensor without numbers, on its device and in its dtype."""
        return torch.empty(0, device=self.device, dtype=self.dtype)


@dataclass(frozen=True, eq=False)
class Step:
    """The edits that act in one call, ready for it; `latents[b]` is the number of the latent in row b."""

    edits: tuple[PreparedEdit, ...]
    latents: Tensor | None
    call: Call

    def fits(self, skip: Tensor, size: tuple[int, int]) -> bool:
        """True if it was made for a latent of this size and for what this skip is like."""
        call = self.call
        is_same = call.rows == skip.shape[0] and call.dtype == skip.dtype and call.device == skip.device
        return is_same and call.size == size


class Chunks(NamedTuple):
    """The whole latent's height and width, and the area of it that each chunk of a batch covers."""

    size: tuple[int, int]
    areas: Sequence[Area]


@dataclass(eq=False)
class Kept:
    """What a run keeps, by what it was made for. Of what changes with a context window the last is kept."""

    tuners: dict[tuple[Any, ...], SCTunerSet | CSCTunerSet] = field(default_factory=dict)
    frames: dict[tuple[Any, ...], Features] = field(default_factory=dict)
    features: dict[tuple[Any, ...], tuple[Sequence[int], Features]] = field(default_factory=dict)
    chunks: dict[tuple[Any, ...], tuple[Sequence[int], Features | None, Tensor | None]] = field(
        default_factory=dict
    )
    masks: dict[tuple[Any, ...], Tensor | None] = field(default_factory=dict)
    strengths: dict[tuple[Any, ...], Tensor] = field(default_factory=dict)
    numbers: dict[tuple[Any, ...], Tensor] = field(default_factory=dict)
    sigma: tuple[Tensor, float] | None = None

    def clear(self) -> None:
        """Keep nothing."""
        for kept in vars(self).values():
            if isinstance(kept, (list, dict)):
                kept.clear()
        self.sigma = None

    def prepared(
        self, edit: SkipEdit, call: Call, sigma: float, rows: Rows | None, chunks: Chunks | None
    ) -> PreparedEdit:
        """An edit made ready for a call; `chunks` say which areas they cover, where they cover areas."""
        values = edit.strengths(sigma, rows)
        key = (values, call.device, call.dtype)
        if key not in self.strengths:
            self.strengths[key] = strengths_like(values, call.like)
        brought = replace(edit, tuners=self._brought(edit, call))
        ready = PreparedEdit(brought, None, None, self.strengths[key], is_folded=True)
        if chunks is not None and rows is not None:
            features, mask = self._of_chunks(edit, call, rows, chunks)
            return replace(ready, features=features, mask=mask)
        features, numbers = self._features(edit, call, rows, None)
        places = None if numbers is None else self.tensor(numbers, call.device)
        return replace(ready, features=features, mask=self._mask(edit, call, None), rows=places)

    def _brought(self, edit: SkipEdit, call: Call) -> SCTunerSet | CSCTunerSet:
        """The tuners of an edit, weights as a call takes them: the host would cast them at each use."""
        key = (edit.tuners, call.device, call.dtype)
        if key not in self.tuners:
            self.tuners[key] = _brought(edit.tuners, call)
        return self.tuners[key]

    def tensor(self, numbers: Sequence[int], device: torch.device) -> Tensor:
        """Numbers of latents or of features on a device, to which they are sent once a run."""
        key = (device, *numbers)
        if key not in self.numbers:
            self.numbers[key] = torch.tensor(numbers, device=device)
        return self.numbers[key]

    def _features(
        self, edit: SkipEdit, call: Call, rows: Rows | None, area: Area | None
    ) -> tuple[Features | None, Sequence[int] | None]:
        """Features of the hints in use, and which of them each row takes; None where all take one."""
        if edit.hint is None:
            return None, None
        hint = edit.hint
        taken = [latent % len(hint) for latent in rows.latents] if rows and len(hint) > 1 else [0]
        used = sorted(set(taken))
        key = (edit.tuners, id(hint), call.size, call.device, call.dtype, area)
        kept = self.features.get(key)
        if kept is None or kept[0] != used:
            self.features.pop(key, None)  # before the others come
            is_part = rows is not None and rows.is_part and len(hint) > 1
            make = self._gathered if is_part else _encoded
            kept = self.features[key] = used, make(edit, call, area, used)
        return kept[1], [used.index(number) for number in taken] if len(hint) > 1 else None

    def _gathered(self, edit: SkipEdit, call: Call, area: Area | None, used: Sequence[int]) -> Features:
        """Features for a window of the batch: each hint is encoded once a run and waits off the device."""
        waiting = []
        for number in used:
            key = (edit.tuners, id(edit.hint), call.size, call.device, call.dtype, area, number)
            if key not in self.frames:
                encoded = _encoded(edit, call, area, [number])
                self.frames[key] = tuple(each if each is None else _aside(each) for each in encoded)
            waiting.append(self.frames[key])
        return tuple(_stacked(each, call.device) for each in zip(*waiting, strict=True))

    def _mask(self, edit: SkipEdit, call: Call, area: Area | None) -> Tensor | None:
        key = (edit, call.size, call.device, call.dtype, area)
        if key not in self.masks:
            self.masks[key] = fitted_mask(edit, call.size, call.like, area)
        return self.masks[key]

    def _of_chunks(
        self, edit: SkipEdit, call: Call, rows: Rows, chunks: Chunks
    ) -> tuple[Features | None, Tensor | None]:
        """Features and masks of each row, where chunks of rows cover areas of the latent."""
        key = (edit, call, chunks.size, *chunks.areas)
        if key not in self.chunks or self.chunks[key][0] != rows.latents:
            self.chunks.pop(key, None)
            whole, count = replace(call, size=chunks.size), call.rows // len(chunks.areas)
            features, masks = [], []
            for number, area in enumerate(chunks.areas):
                own = slice(number * count, (number + 1) * count)
                seen = (whole, area) if edit.is_whole else (call, None)
                found, taken = self._features(edit, seen[0], rows, seen[1])
                places = [0] * count if taken is None else taken[own]
                features.append(_taken(found or (), self.tensor(places, call.device)))
                latents = self.tensor(rows.latents[own], call.device)
                masks.append(_taken((self._mask(edit, *seen),), latents)[0])
            beside = tuple(_stacked(each) for each in zip(*features, strict=True))
            self.chunks[key] = rows.latents, beside or None, _stacked(masks)
        return self.chunks[key][1:]


def _brought(tuners: SCTunerSet | CSCTunerSet, call: Call) -> SCTunerSet | CSCTunerSet:
    """Tuners of plain layers on the device and in the dtype of a call; of a control all but its encoder.

    Weights that are so already are not copied.
    """
    plain = build_tuners(tuners.spec, operations=Unset, device=torch.device("meta")).requires_grad_(False)
    for name, own in tuners_in(tuners).items():
        weights = {key: value.to(call.device, call.dtype) for key, value in own.state_dict().items()}
        plain.get_submodule(name).load_state_dict(weights, assign=True)
    return plain


def _encoded(edit: SkipEdit, call: Call, area: Area | None, used: Sequence[int]) -> Features:
    hint = edit.hint
    if hint is None:
        return ()
    hints = hint if len(used) == len(hint) else hint[list(used)]
    return hint_features(edit.tuners, hints, call.size, call.like, area)


def _aside(feature: Tensor) -> Tensor:
    """A feature where models wait. From CUDA it goes to pinned memory, which nobody has to wait for.

    It comes back by the same stream, so that it is not asked for before it is there.
    """
    return feature.to(comfy.model_management.unet_offload_device(), non_blocking=feature.is_cuda)


def _taken(features: Features, numbers: Tensor) -> Features:
    """Of each block the feature for every row of a chunk."""
    return tuple(each if each is None else cycled(each, numbers) for each in features)


def _stacked(parts: Sequence[Tensor | None], device: torch.device | None = None) -> Tensor | None:
    """These tensors `(n, ...)` one after the other, on a device; None if there are none."""
    there = [part for part in parts if part is not None]
    if not there:
        return None
    shape = (sum(map(len, there)), *there[0].shape[1:])
    stacked = torch.empty(shape, device=device or there[0].device, dtype=there[0].dtype)
    # one by one to the device: they are never twice in memory
    for part, place in zip(there, stacked.split([len(part) for part in there]), strict=True):
        place.copy_(part, non_blocking=place.is_cuda)
    return stacked
