"""What a training state remembers of a MODEL, so that it is not continued on another one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import MISSING, asdict, fields
from operator import itemgetter
from types import CellType
from typing import TYPE_CHECKING, Any

import torch
from comfy.weight_adapter.base import WeightAdapterBase
from torch import Tensor, nn

from ...scedit_core import SkipEdit
from ...scedit_core.strength import Factors
from ...scedit_core.training.sketch import Sketch, Sketcher
from ..patching.patch import SkipPatch

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

_PACK = __name__.rpartition(".nodes.")[0]
_UNET = "diffusion_model."
# patched objects that the sketch of the model covers by what they do, or that change no more than rounding
_COVERED = ("model_sampling", "diffusion_model", "manual_cast_dtype")
_PLACES = ("patches", "patches_replace", "wrappers")  # of transformer_options, where nodes put what acts
_PLAIN = (bool, int, float, str)
_HINT_POINTS = 1024
# where the host's kinds of control hold their weights, and what else they were told
_CONTROL_WEIGHTS = ("control_model", "control_weights", "t2i_model", "extra_args")


def sketch_model(patcher: ModelPatcher) -> dict[str, Sketch]:
    """Sketches of a MODEL's own weights and of what its nodes put on top of them.

    What acts in sampling alone is left out: a training runs the network, not the sampler.
    """
    options = patcher.model_options["transformer_options"]
    return {
        "model": _model(patcher),
        "patches": _weight_patches(patcher),
        "edits": _edits(options),
        "others": _others(patcher, options),
    }


def _model(patcher: ModelPatcher) -> Sketch:
    """Weights as they are without patches, and what the network's output means."""
    sketcher = Sketcher()
    sketcher.tell(patcher.model.model_type.name)
    for name, weights in patcher.model.diffusion_model.named_parameters():
        key = _UNET + name
        sketcher.tell(name.removeprefix("_orig_mod."))  # torch.compile's
        if key in patcher.hook_backup:
            weights = patcher.hook_backup[key][0]
        elif key in patcher.backup:
            weights = patcher.backup[key].weight
        _sample(sketcher, weights)
    _sample_schedule(sketcher, patcher.model.model_sampling)
    return sketcher.sketch()


def _sample_schedule(sketcher: Sketcher, sampling: Any) -> None:
    """Noise levels, and at some of them the picture of an output of 1, and that of an input of 1."""
    sigmas = sampling.sigmas.detach().float()
    sketcher.sample(sigmas, 32)
    some = sigmas[:: max(1, len(sigmas) // 8)]
    one = torch.ones(len(some), 1, 1, 1, device=sigmas.device)
    for output, given in ((one, 0 * one), (0 * one, one)):
        sketcher.sample(sampling.calculate_denoised(some, output, given), len(some))


def _weight_patches(patcher: ModelPatcher) -> Sketch:
    """LoRAs and merged models, whether they change the weights or act beside them."""
    sketcher = Sketcher()
    for key, patches in sorted(patcher.patches.items()):
        for strength, patch, strength_model, offset, _function in patches:
            if strength or strength_model != 1:
                sketcher.tell(key, float(strength), float(strength_model), offset)
                _tell_nested(sketcher, patch)
    for name, injections in sorted(patcher.injections.items()):
        for injection in injections:
            sketcher.tell(name)
            _tell_bypass(sketcher, injection.inject)
    return sketcher.sketch()


def _tell_nested(sketcher: Sketcher, value: Any) -> None:
    """Numbers, texts and tensors of a weight patch, however nested."""
    if isinstance(value, Tensor):
        _sample(sketcher, value)
    elif isinstance(value, WeightAdapterBase):
        sketcher.tell(value.name)
        _tell_nested(sketcher, value.weights)
    elif isinstance(value, dict):
        _tell_nested(sketcher, sorted(value.items(), key=lambda item: str(item[0])))
    elif isinstance(value, (list, tuple)):
        sketcher.tell(len(value))
        for item in value:
            _tell_nested(sketcher, item)
    elif isinstance(value, (*_PLAIN, type(None))):
        sketcher.tell(value)


def _tell_bypass(sketcher: Sketcher, inject: Any) -> None:
    """Adapters of 'Load LoRA (Bypass)', which act beside the weights; the closure holds their manager."""
    for keeper in _closure(inject).values():
        if type(keeper).__name__ == "BypassInjectionManager":  # not known to older hosts
            for key, (adapter, strength) in sorted(keeper.adapters.items()):
                sketcher.tell(key, float(strength))
                _tell_nested(sketcher, adapter)


def _edits(options: dict[str, Any]) -> Sketch:
    """SCEdit tuners that are applied already, and how."""
    sketcher = Sketcher()
    for patch in options.get("patches", {}).get("output_block_patch", ()):
        for edit in patch.edits if isinstance(patch, SkipPatch) else ():
            tell_edit(sketcher, edit)
    return sketcher.sketch()


def tell_edit(sketcher: Sketcher, edit: SkipEdit, *, with_hint: bool = True) -> None:
    """What makes an edit another one, with its hint or for whatever hint."""
    for field in fields(edit):
        value = getattr(edit, field.name)
        if field.default is not MISSING and value is field.default:
            continue
        if field.name == "hint" and not with_hint:
            continue
        if isinstance(value, Factors):
            if value.is_given:
                _tell_nested(sketcher, asdict(value))
            continue
        sketcher.tell(field.name)
        if isinstance(value, nn.Module):
            _tell_network(sketcher, value)
        elif isinstance(value, Tensor):
            # from 1 to 2, so that rounding counts as brightness: a net's hint differs a little each time
            sketcher.sample(value.float() + 1, _HINT_POINTS)
        elif field.name.startswith("sigma"):
            sketcher.sample(torch.tensor([value]))
        else:
            sketcher.tell(value)


def tell_controlnet(sketcher: Sketcher, link: Any) -> None:
    """A ControlNet or T2I-Adapter as it was applied to a prompt, for whatever hint."""
    sketcher.tell(type(link).__name__, float(link.strength), tuple(link.timestep_percent_range))
    for place in _CONTROL_WEIGHTS:
        held = vars(link).get(place)
        if isinstance(held, nn.Module):
            _tell_network(sketcher, held)
        else:
            _tell_nested(sketcher, held)


def _tell_network(sketcher: Sketcher, network: nn.Module) -> None:
    for name, weights in network.named_parameters():
        sketcher.tell(name)
        _sample(sketcher, weights)


def _others(patcher: ModelPatcher, options: dict[str, Any]) -> Sketch:
    """Patches of other nodes that act in the network, by their names and plain settings."""
    sketcher = Sketcher()
    for place in _PLACES:
        sketcher.tell(place, _told(options.get(place, {})))
    objects = {name: patch for name, patch in patcher.object_patches.items() if name not in _COVERED}
    sketcher.tell(_told(objects), _told(patcher.weight_wrapper_patches))
    return sketcher.sketch()


def _told(patches: Any) -> tuple[Any, ...]:
    """Names and plain settings of patches in dictionaries and lists; our own are left out."""
    if isinstance(patches, dict):
        pairs = sorted(((str(key), _told(patch)) for key, patch in patches.items()), key=itemgetter(0))
        return tuple(pair for pair in pairs if pair[1])
    if isinstance(patches, (list, tuple)):
        return tuple(told for told in map(_told, patches) if told)
    if inspect.ismethod(patches):
        told = _told(patches.__self__)
        return (*told, patches.__name__) if told else ()
    named = patches if inspect.isfunction(patches) else type(patches)
    is_own = str(named.__module__).startswith(_PACK)  # None where it was made by exec
    return () if is_own else (named.__qualname__, *_settings(patches))


def _settings(patch: Any) -> Iterator[tuple[str, Any]]:
    """Numbers and texts that a patch was made with; no caches or counters, which change as it runs."""
    if inspect.isfunction(patch):
        for name, value in _closure(patch).items():
            if isinstance(value, _PLAIN):
                yield name, value
            elif isinstance(value, dict) and all(isinstance(key, _PLAIN) for key in value):
                yield name, repr({key: item for key, item in value.items() if _is_plain(item)})
    elif hasattr(patch, "__dict__"):
        for name, value in sorted(vars(patch).items()):
            if isinstance(value, (float, str)) and not name.startswith("_"):
                yield name, value


def _is_plain(value: Any) -> bool:
    return isinstance(value, _PLAIN) or (isinstance(value, tuple) and all(map(_is_plain, value)))


def _closure(function: Any) -> dict[str, Any]:
    """Variables that a function holds from where it was made, by name."""
    if not inspect.isfunction(function):
        return {}
    names, cells = function.__code__.co_freevars, function.__closure__ or ()
    return {name: cell.cell_contents for name, cell in zip(names, cells, strict=True) if cell != CellType()}


def _sample(sketcher: Sketcher, weights: Tensor) -> None:
    """Points of a tensor; of a quantized one, which is packed in its own way, type and shape."""
    if type(weights.data) is Tensor:
        sketcher.sample(weights)
    else:
        sketcher.tell(type(weights.data).__name__, tuple(weights.shape))
