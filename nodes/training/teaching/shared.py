"""A network that two MODELs share: while the teacher works, what is the teacher's own lies in it.

Two MODELs of one checkpoint are patchers around one network, into which the host writes the patched weights
of one of them. Of the other only the weights that differ are made besides, as the host would make them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import comfy.utils
from torch import Tensor, nn

from ....scedit_core import SCEditError

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

_ALIKE = ("weight_wrapper_patches", "force_cast_weights")  # what has layers behave in another way


def share_network(owner: ModelPatcher, guest: ModelPatcher) -> ModelPatcher:
    """A clone of `guest` around the network that `owner` was loaded into, which may be a static copy."""
    if owner.model is guest.model:
        clone = guest.clone()
    else:
        clone = guest.clone(disable_dynamic=True, model_override=owner.get_clone_model_override())
    clone.is_injected = False  # whatever the guest was when it was loaded itself
    return clone


class SharedNetwork:
    """The network of a loaded MODEL, `owner`, and what another one, `guest`, has there in its place."""

    def __init__(self, owner: ModelPatcher, guest: ModelPatcher) -> None:
        if any(getattr(owner, name) != getattr(guest, name) for name in _ALIKE):
            raise SCEditError(
                "the teacher computes its layers in another way than the model; load its checkpoint by a "
                "loader of its own, so that the two share nothing"
            )
        self._owner = owner
        self._guest = guest
        self._has_other_injections = owner.injections != guest.injections
        self._keys = [key for key in sorted(owner.patches | guest.patches) if self._differs(key)]
        self._weights: list[tuple[nn.Module, str, nn.Parameter]] = []

    @property
    def nbytes(self) -> int:
        """Bytes of the weights that are made besides."""
        return sum(comfy.utils.get_attr(self._owner.model, key).nbytes for key in self._keys)

    def fill(self) -> None:
        """Make them, where the network computes."""
        for key in self._keys:
            place, _, name = key.rpartition(".")
            weights = nn.Parameter(self._guests(key), requires_grad=False)
            self._weights.append((self._owner.model.get_submodule(place), name, weights))

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Within, the network is the guest's; after it, whatever happens, the owner's, bit for bit."""
        network, owner, guest = self._owner.model, self._owner, self._guest
        before = [(module, name, module._parameters[name]) for module, name, _ in self._weights]
        objects = self._objects()
        replaced = [(name, comfy.utils.get_attr(network, name)) for name, _ in objects]
        if self._has_other_injections:
            owner.eject_model()
        try:
            _put(network, self._weights, objects)
            network.current_patcher = guest
            if self._has_other_injections:
                guest.inject_model()
            yield
        finally:
            if self._has_other_injections:
                guest.eject_model()
            network.current_patcher = owner
            _put(network, before, replaced)
            if self._has_other_injections:
                owner.inject_model()

    def _differs(self, key: str) -> bool:
        """Whether the two patch a weight in different ways."""
        one, other = self._owner.patches.get(key, []), self._guest.patches.get(key, [])
        return len(one) != len(other) or not all(map(_is_same, one, other))

    def _guests(self, key: str) -> Tensor:
        """A weight as the host makes it for the guest, of the one without patches."""
        network, device = self._owner.model, self._owner.load_device
        held, backup = comfy.utils.get_attr(network, key), self._owner.backup.get(key)
        if key not in self._guest.patches:
            return (held if backup is None else backup.weight).to(device)
        if backup is None:
            return self._guest.patch_weight_to_device(key, device_to=device, return_weight=True)
        comfy.utils.set_attr(network, key, nn.Parameter(backup.weight, requires_grad=False))
        try:
            return self._guest.patch_weight_to_device(key, device_to=device, return_weight=True)
        finally:
            comfy.utils.set_attr(network, key, held)

    def _objects(self) -> list[tuple[str, Any]]:
        """Objects of the network, such as its noise schedule, that a node of only one of the two replaced."""
        mine, theirs = self._owner.object_patches, self._guest.object_patches
        original = self._owner.object_patches_backup
        names = [name for name in mine | theirs if mine.get(name) is not theirs.get(name)]
        return [(name, theirs[name] if name in theirs else original[name]) for name in names]


def _put(
    network: Any, weights: Sequence[tuple[nn.Module, str, Any]], objects: Sequence[tuple[str, Any]]
) -> None:
    for module, name, each in weights:
        module._parameters[name] = each
    for name, each in objects:
        comfy.utils.set_attr(network, name, each)


def _is_same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two patches of a weight are one: strengths, part of the weight, and the patch itself."""
    (strength, patch, *more), (other_strength, other_patch, *other_more) = one, other
    return strength == other_strength and patch is other_patch and more == other_more
