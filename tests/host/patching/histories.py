"""Random histories: what users do with graphs in one living ComfyUI, and what must hold whatever they did.

A history applies tuners to a MODEL and to prompts, changes settings, clones, samples, cancels at any step and
inside of one, unloads, loads anew, and samples again. After each action:

- the same configuration gives the same picture, bit for bit, as one made anew from the base MODEL
  that makes everything ready for each call, as the first one that was seen, and, at the end, as one made of a
  model and tuners that are loaded anew;
- the base MODEL's picture and weights are what they were;
- a MODEL that was given to a node is as before;
- nothing that a run keeps is left, also where it was cancelled;
- once the graphs of a history are gone, as many bytes of tensors are alive as before it.

A history is the same for the same seed and number, whatever came before it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from types import ModuleType
from typing import Any

import comfy.model_management
import torch
from bombs import CANCELS, Bomb, Cancelled
from configurations import (
    Applied,
    Configuration,
    Scene,
    brief,
    changed,
    drawn_configuration,
    drawn_scene,
    drawn_step,
)
from graph_runs import Graphs, sampled
from invariants import difference, forgetting, live_bytes, look, things_of_runs, weights_of

RECALLED = 300  # configurations that histories come back to


@dataclass(frozen=True)
class Finding:
    """What did not hold, and what was done in that history until then."""

    seed: int
    number: int
    what: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        done = "\n    ".join(self.actions)
        return f"seed {self.seed}, history {self.number}: {self.what}\n    {done}"


@dataclass
class Counts:
    """What was done in all histories."""

    histories: int = 0
    runs: int = 0
    cancelled: int = 0
    compared: int = 0


@dataclass(frozen=True, eq=False)
class Held:
    """A MODEL in a graph, the one it was made from, and what that was like."""

    model: Any
    applied: Applied
    parent: Held | None
    look: Any


@dataclass(eq=False)
class Process:
    """One living ComfyUI: its base MODEL, its tuners, and every picture that was seen in it."""

    pack: ModuleType
    graphs: Graphs
    seed: int
    pictures: dict[Configuration, bytes] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.weights = weights_of(self.graphs.base)
        self.base_picture = self.graphs.picture(Configuration())
        self.bytes_begin = self.bytes_end = 0

    def recalled(self, number: int) -> Configuration:
        """One of the configurations that histories come back to."""
        return drawn_configuration(Random(f"{self.seed} recalled {number}"))

    def live(self, number: int) -> None:
        """One history, and what must hold when its graphs are gone."""
        history = History(self, number)
        try:
            history.live()
        except Exception as error:
            error.add_note(str(Finding(self.seed, number, "an error", tuple(history.actions))))
            raise
        actions = tuple(history.actions)
        del history
        self.counts.histories += 1
        if weights_of(self.graphs.base) != self.weights:
            self.findings.append(Finding(self.seed, number, "a weight of the base model changed", actions))
        self.bytes_end = live_bytes()
        if self.counts.histories == 1:
            self.bytes_begin = self.bytes_end
        elif self.bytes_end != self.bytes_begin:
            what = f"{self.bytes_end} bytes of tensors are alive, where {self.bytes_begin} were before"
            self.findings.append(Finding(self.seed, number, what, actions))
            self.bytes_begin = self.bytes_end

    def see_again(self, graphs: Graphs, most: int) -> None:
        """Make pictures that were seen again, the last first, from a model and tuners loaded anew."""
        seen = list(self.pictures)
        chosen = Random(self.seed).sample(seen, min(most, len(seen)))
        for configuration in sorted(chosen, key=seen.index, reverse=True):
            self.counts.runs += 1
            self.counts.compared += 1
            if (gap := difference(graphs.picture(configuration), self.pictures[configuration])) is not None:
                what = f"loaded anew, the picture differs by {gap}: {brief(configuration)}"
                self.findings.append(Finding(self.seed, -1, what, ()))


class History:
    """A user's session: MODELs and prompts of graphs, and what is done with them."""

    def __init__(self, process: Process, number: int) -> None:
        self.process, self.graphs, self.number = process, process.graphs, number
        self.random = Random(f"{process.seed} history {number}")
        self.held = [Held(process.graphs.base, (), None, look(process.graphs.base))]
        self.scenes: dict[Scene, tuple[list[Any], list[Any]]] = {}
        self.actions: list[str] = []

    def live(self) -> None:
        """A few random actions, and the base MODEL's picture at the end."""
        for _ in range(self.random.randint(4, 9)):
            action = self.random.choices(*zip(*ACTIONS, strict=True))[0]
            action(self)
            self._check_models()
            self._check_nothing_is_kept()
        self.actions.append("sample the base model")
        made = self._sampled(self.graphs.base, Configuration().scene)
        self._compare(made, self.process.base_picture, "the base model's picture changed")

    def apply(self) -> None:
        """A node on one of the MODELs."""
        held, step = self.random.choice(self.held), drawn_step(self.random)
        self.actions.append(f"apply {brief(step)} to model {self.held.index(held)}")
        self._hold(self.graphs.applied(held.model, step), (*held.applied, step), held)

    def change(self) -> None:
        """The last node of a MODEL with another setting: the MODEL that it was given is the same."""
        made = [held for held in self.held if held.parent is not None and held.applied != held.parent.applied]
        if not made:
            return self.apply()
        held = self.random.choice(made)
        step = changed(held.applied[-1], self.random)
        self.actions.append(f"change the last node of model {self.held.index(held)} to {brief(step)}")
        self._hold(self.graphs.applied(held.parent.model, step), (*held.applied[:-1], step), held.parent)
        return None

    def clone(self) -> None:
        """What many nodes do to a MODEL."""
        held = self.random.choice(self.held)
        self.actions.append(f"clone model {self.held.index(held)}")
        self._hold(held.model.clone(), held.applied, held)

    def sample(self) -> None:
        """A run, and the same configuration made anew if it is new."""
        held, scene = self.random.choice(self.held), self._scene()
        configuration = Configuration(held.applied, scene)
        self.actions.append(f"sample {brief(scene)} with model {self.held.index(held)}")
        self._expect(configuration, self._sampled(held.model, scene))

    def cancel(self) -> None:
        """A run that ends before its end, if it comes to what ends it."""
        held, scene = self.random.choice(self.held), self._scene()
        place, count = self.random.choice(CANCELS), self.random.randrange(12)
        self.actions.append(f"cancel {place} {count}: {brief(scene)} with model {self.held.index(held)}")
        bomb = Bomb(count if place != "callback" else count % scene.steps)
        model = held.model.clone()
        handles = bomb.put(model, place, self.graphs.tuners.values())
        made = None
        try:
            made = self._sampled(model, scene, bomb.callback if place == "callback" else None)
        except (Cancelled, comfy.model_management.InterruptProcessingException):
            self.process.counts.cancelled += 1
        for handle in handles:
            handle.remove()
        if made is not None:
            self._expect(Configuration(held.applied, scene), made)

    def recall(self) -> None:
        """A configuration that other histories made, too."""
        configuration = self.process.recalled(self.random.randrange(RECALLED))
        self.actions.append(f"recall {brief(configuration)}")
        self._expect(configuration, self.graphs.picture(configuration))

    def unload(self) -> None:
        """Weights leave the device: all of them, a tuner's, or a MODEL's."""
        what = self.random.choice(("all", "tuner", "model"))
        self.actions.append(f"unload {what}")
        if what == "all":
            comfy.model_management.unload_all_models()
        elif what == "tuner":
            self.graphs.tuners[self.random.choice(list(self.graphs.tuners))].patcher.detach()
        else:
            self.random.choice(self.held).model.detach()

    def forget(self) -> None:
        """A MODEL and prompts are no longer in the graph."""
        if len(self.held) > 1:
            gone = self.random.randrange(1, len(self.held))
            self.actions.append(f"forget model {gone} and prompts")
            del self.held[gone]
        self.scenes.clear()

    def _hold(self, model: Any, applied: Applied, parent: Held) -> None:
        self.held.append(Held(model, applied, parent, look(model)))

    def _scene(self) -> Scene:
        """One whose prompts are in the graph already, one that differs in its latents alone, or a new one."""
        if self.scenes and self.random.random() < 0.5:
            scene = self.random.choice(list(self.scenes))
            other = replace(scene, latents=self.random.choice((1, 2, 5)))
            if self.random.random() < 0.5:
                return scene
            self.scenes.setdefault(other, self.scenes[scene])
            return other
        return drawn_scene(self.random)

    def _sampled(self, model: Any, scene: Scene, callback: Callable[..., None] | None = None) -> bytes:
        """A run with the prompts that the graph has; nothing may be left of it."""
        if scene not in self.scenes:
            self.scenes[scene] = self.graphs.prompts(scene)
        self.process.counts.runs += 1
        return sampled(model, scene, self.scenes[scene], callback)

    def _expect(self, configuration: Configuration, made: bytes) -> None:
        """The picture of this configuration is the one that it always was."""
        pictures = self.process.pictures
        if configuration not in pictures:
            with forgetting(self.process.pack):
                pictures[configuration] = self.graphs.picture(configuration)
            self.process.counts.runs += 1
        self._compare(made, pictures[configuration], f"the picture differs of {brief(configuration)}")

    def _compare(self, made: bytes, wanted: bytes, what: str) -> None:
        self.process.counts.compared += 1
        if (gap := difference(made, wanted)) is not None:
            self._find(f"{what}, by {gap}")

    def _check_models(self) -> None:
        """No MODEL was changed by what was done with it."""
        for number, held in enumerate(self.held):
            if look(held.model) != held.look:
                self._find(f"model {number} was changed: {held.look} is now {look(held.model)}")

    def _check_nothing_is_kept(self) -> None:
        """Nothing that was made ready for a run outlives it, whoever may hold it."""
        if kept := things_of_runs():
            self._find(f"{len(kept)} things of a run are kept after it: {type(kept[0]).__name__}")

    def _find(self, what: str) -> None:
        process = self.process
        process.findings.append(Finding(process.seed, self.number, what, tuple(self.actions)))


ACTIONS: tuple[tuple[Callable[[History], None], int], ...] = (
    (History.apply, 5), (History.change, 2), (History.clone, 1), (History.sample, 4), (History.cancel, 3),
    (History.recall, 1), (History.unload, 1), (History.forget, 1),
)  # fmt: skip


def lived(pack: ModuleType, controlnet: Any, seed: int, numbers: range, again: int) -> Process:
    """These histories in one process, and some of their pictures seen again from a model loaded anew."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # which is quicker for networks this small
    nodes = {node.define_schema().node_id: node for node in pack.nodes.NODES}
    process = Process(pack, Graphs(nodes, controlnet), seed)
    gc.collect()
    gc.freeze()
    try:
        for number in numbers:
            process.live(number)
        process.see_again(Graphs(nodes, controlnet), again)
    finally:
        gc.unfreeze()
        torch.set_num_threads(threads)
    return process
