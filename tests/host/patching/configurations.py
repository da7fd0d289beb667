"""What a user may have set up in a graph: edits of a MODEL, prompts and latents, drawn at random.

Each is a value: two that are equal must give the same picture, bit for bit. A further setting is a further
field, drawn in `drawn_edit`, `drawn_prompt` or `drawn_scene`, and handed to a node in graph_runs.py.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from random import Random
from typing import Any

STYLES = ("sc_full", "sc_layers", "sc_r01", "swift_encoder")
CONTROLS = ("csc_k1", "csc_s07")
STRENGTHS = (1.0, 1.0, 0.6, -0.5, 0.0)
TIMES = ((0.0, 1.0), (0.0, 1.0), (0.0, 0.5), (0.4, 1.0), (0.2, 0.7), (1.0, 1.0))
SCHEDULES = ("", "", "0:1, 1:0", "0:0, 0.5:0, 0.5:1", "0.3:-0.5, 0.7:2")
SKIP_WEIGHTS = ("", "", "detail", "1:0.5, 4:0", "1, 0.5, 0, -1, 2, 1", "0-5:0")
LATENT_WEIGHTS = ("", "", "", "0:1, 4:0", "1:0, 1:1")
PRIORITIES = ("balanced", "balanced", "prompt", "control")
PLACES = ("all", "all", "left", "right half", "mask bounds", "masked")
SIZES = ((8, 8), (8, 8), (8, 12), (16, 8))
SAMPLERS = ("euler", "euler", "euler_ancestral", "dpmpp_2m", "heun", "euler_cfg_pp")
WINDOW = 3  # latents that are sampled together where there are context windows


@dataclass(frozen=True)
class Edit:
    """A tuner, how strongly and when it acts, and the seeds and numbers of its hint pictures and masks."""

    tuner: str
    strength: float = 1.0
    times: tuple[float, float] = (0.0, 1.0)
    picture: int = 0
    pictures: int = 1
    masks: int = 0
    schedule: str = ""
    skip_weights: str = ""
    latent_weights: str = ""
    priority: str = "balanced"

    @property
    def is_control(self) -> bool:
        """True if it sees a hint."""
        return self.tuner in CONTROLS


@dataclass(frozen=True)
class Bundle:
    """Several controls in one node."""

    edits: tuple[Edit, ...]
    strength: float = 1.0


@dataclass(frozen=True)
class Windows:
    """Context windows of the host."""

    has_anchor: bool = True


Applied = tuple[Edit | Bundle | Windows, ...]  # to a MODEL, one after the other


@dataclass(frozen=True)
class Prompt:
    """A prompt, where in the picture and when it acts, and the controls that belong to it."""

    seed: int
    place: str = "all"
    times: tuple[float, float] = (0.0, 1.0)
    bundle: Bundle | None = None
    has_controlnet: bool = False


@dataclass(frozen=True)
class Scene:
    """What is sampled with a MODEL."""

    positive: tuple[Prompt, ...] = (Prompt(1),)
    negative: tuple[Prompt, ...] = (Prompt(2),)
    size: tuple[int, int] = (8, 8)
    latents: int = 1
    steps: int = 2
    cfg: float = 4.0
    sampler: str = "euler"


@dataclass(frozen=True)
class Configuration:
    """All that a picture depends on."""

    applied: Applied = ()
    scene: Scene = Scene()


def drawn_edit(random: Random, names: tuple[str, ...] = STYLES + CONTROLS) -> Edit:
    """An edit of one of these tuners."""
    edit = Edit(
        random.choice(names),
        strength=random.choice(STRENGTHS),
        times=random.choice(TIMES),
        masks=random.choice((0, 0, 1, 2)),
        schedule=random.choice(SCHEDULES),
        skip_weights=random.choice(SKIP_WEIGHTS),
        latent_weights=random.choice(LATENT_WEIGHTS),
    )
    if not edit.is_control:
        return edit
    hints = {"picture": random.randrange(4), "pictures": random.choice((1, 1, 2, 5))}
    return replace(edit, **hints, priority=random.choice(PRIORITIES))


def drawn_bundle(random: Random) -> Bundle:
    """One to three controls."""
    edits = tuple(drawn_edit(random, CONTROLS) for _ in range(random.choice((1, 2, 3))))
    return Bundle(edits, random.choice((1.0, 1.0, 0.5)))


def drawn_step(random: Random) -> Edit | Bundle | Windows:
    """What one node does to a MODEL."""
    return random.choice((drawn_edit, drawn_edit, drawn_edit, drawn_bundle, drawn_windows))(random)


def drawn_windows(random: Random) -> Windows:
    """Context windows, with or without the host's latent in front."""
    return Windows(random.choice((True, False)))


def drawn_prompt(random: Random) -> Prompt:
    """A prompt, half of them with controls of their own."""
    return Prompt(
        random.randrange(4),
        place=random.choice(PLACES),
        times=random.choice(((0.0, 1.0), (0.0, 1.0), (0.0, 0.6), (0.5, 1.0))),
        bundle=random.choice((None, drawn_bundle(random))),
        has_controlnet=random.random() < 0.15,
    )


def drawn_prompts(random: Random) -> tuple[Prompt, ...]:
    """One prompt for all of the picture and the whole time, and none to two beside it."""
    first = replace(drawn_prompt(random), place="all", times=(0.0, 1.0))
    return first, *(drawn_prompt(random) for _ in range(random.choice((0, 0, 1, 2))))


def drawn_scene(random: Random) -> Scene:
    """A scene, many of them with the simplest prompts."""
    is_plain = random.random() < 0.4
    prompts = {} if is_plain else {"positive": drawn_prompts(random), "negative": drawn_prompts(random)}
    return Scene(
        **prompts,
        size=random.choice(SIZES),
        latents=random.choice((1, 1, 2, 5, 5)),
        steps=random.choice((1, 2, 2)),
        cfg=random.choice((4.0, 4.0, 1.0)),
        sampler=random.choice(SAMPLERS),
    )


def drawn_applied(random: Random) -> Applied:
    """What a few nodes, or none, do to a MODEL."""
    return tuple(drawn_step(random) for _ in range(random.choice((0, 1, 1, 2, 3))))


def drawn_configuration(random: Random) -> Configuration:
    """A configuration; the same for the same random numbers."""
    return Configuration(drawn_applied(random), drawn_scene(random))


def changed(step: Edit | Bundle | Windows, random: Random) -> Edit | Bundle | Windows:
    """The same node with one of its settings drawn anew; its tuner stays."""
    if isinstance(step, Windows):
        return replace(step, has_anchor=not step.has_anchor)
    if isinstance(step, Bundle):
        number = random.randrange(len(step.edits))
        edits = [changed(edit, random) if i == number else edit for i, edit in enumerate(step.edits)]
        return replace(step, edits=tuple(edits))
    other = drawn_edit(random, (step.tuner,))
    name = random.choice([field.name for field in fields(step) if field.name != "tuner"])
    value: dict[str, Any] = {name: getattr(other, name)}
    return replace(step, **value)


def brief(thing: Any) -> str:
    """A configuration or a part of it, without what is as by default."""
    if isinstance(thing, tuple):
        return "(" + ", ".join(map(brief, thing)) + ")"
    if not is_dataclass(thing):
        return repr(thing)
    given = ((field, getattr(thing, field.name)) for field in fields(thing))
    told = ", ".join(f"{field.name}={brief(value)}" for field, value in given if value != field.default)
    return f"{type(thing).__name__}({told})"
