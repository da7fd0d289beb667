"""What must not change, and what must not be left, whatever was done with graphs."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

OF_RUNS = ("PreparedEdit", "Step", "Call")  # classes of what is made ready for a run or a call


def look(model: Any) -> Any:
    """What of a MODEL a node could change by mistake: its patches and their edits, wrappers and callbacks."""
    options = model.model_options
    patches = options["transformer_options"].get("patches", {})
    edits = {
        kind: [(id(one), *map(id, vars(one).get("applied", ()))) for one in patches[kind]] for kind in patches
    }
    return (
        sorted(options), edits, _keyed(model.wrappers), _keyed(model.callbacks), sorted(model.patches),
        sorted(model.object_patches), sorted(model.additional_models),
    )  # fmt: skip


def _keyed(given: Mapping[str, Mapping[Any, list[Callable[..., Any]]]]) -> Any:
    return {kind: {key: [*map(id, those[key])] for key in those} for kind, those in given.items() if those}


def weights_of(model: Any) -> str:
    """A digest of a MODEL's weights."""
    digest = hashlib.sha256()
    for key, value in model.model.state_dict().items():
        digest.update(key.encode())
        digest.update(value.cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def difference(made: bytes, wanted: bytes) -> float | None:
    """The largest difference of two pictures of float32; None if they are the same, bit for bit."""
    if made == wanted:
        return None
    one, other = (torch.frombuffer(bytearray(each), dtype=torch.float32) for each in (made, wanted))
    return float((one - other).abs().max()) if one.shape == other.shape else float("inf")


def things_of_runs() -> list[Any]:
    """What is alive of runs, whoever holds it; made since gc.freeze(), which a long run calls once."""
    gc.collect()
    ours = (".patching.ready", "scedit_core.edit")
    things = [thing for thing in gc.get_objects() if str(type(thing).__module__).endswith(ours)]
    full = [thing for thing in things if type(thing).__name__ == "Kept" and any(vars(thing).values())]
    return full + [thing for thing in things if type(thing).__name__ in OF_RUNS]


class Forgetful(dict[Any, Any]):
    """A dictionary that hands out what was put in last, and never says that it has anything."""

    def __contains__(self, _key: object) -> bool:
        return False

    def get(self, _key: object, default: Any = None) -> Any:
        return default


@contextmanager
def forgetting(pack: ModuleType) -> Iterator[None]:
    """Within, runs make everything ready anew for each call: whatever they would have used again."""
    home = pack.nodes.patching.patch
    keeping = home.Kept
    sigma = property(lambda _kept: None, lambda _kept, _seen: None)
    forgetful = type("Kept", (keeping,), {"sigma": sigma})
    home.Kept = lambda: forgetful(*(Forgetful() for _ in range(6)))
    try:
        yield
    finally:
        home.Kept = keeping


def live_bytes() -> int:
    """Bytes of all tensors that are alive and were made since gc.freeze()."""
    gc.collect()
    storages: dict[int, int] = {}
    for thing in gc.get_objects():
        if issubclass(type(thing), torch.Tensor):
            storage = thing.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())
