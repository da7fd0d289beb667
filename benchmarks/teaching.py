"""What teachers can teach, on the sandbox: LoRA to SC-Tuner, ControlNet and larger tuner to CSC-Tuner.

    python dev.py bench teaching WHAT --work FOLDER

WHAT is `kernel` (a control with a 3 x 3 hint encoder to smaller ones), `lora` or `controlnet`. All pictures
are 128 x 128, so that a step takes a fraction of a second on one core. Every student is trained twice from
the same seed, by the teacher alone and from pictures alone, and measured on the way: a control by its teacher
without captions, under captions of other pictures, and under its own. FOLDER keeps teachers
and states: a run that was cut goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "sandbox"))

import world  # noqa: E402 - the sandbox's modules lie in its own folder
from graphs import CFG  # noqa: E402
from measure import edge_f1, edges, named_error, style_distance  # noqa: E402
from scene_edges import random_edges  # noqa: E402
from train_controls import scaled  # noqa: E402
from train_styles import COMMON, STYLE_PICTURES, Workshop, as_images  # noqa: E402

SIDE, SCENES, HELD_OUT, SAMPLING = 128, 300, 12, 12
TAUGHT, WORDS, CAPTIONS, PLAIN = WAYS = (
    "by the teacher", "by the teacher under any words", "by the teacher with captions", "from pictures",
)  # fmt: skip
RATE = 2e-3
Stage = tuple[int, float]  # so many steps in all, from those before on at this rate


class Bench:
    """The sandbox with small scenes, and what is measured of a MODEL or a prompt."""

    def __init__(self, work: Path, ways: Sequence[str] = WAYS) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.work, self.ways = work, ways
        self.shop = Workshop(Path(os.environ["COMFYUI_PATH"]), work, REPOSITORY / "sandbox" / "models")
        self.pack, self.model = self.shop.pack, self.shop.model
        self.held_out = [scaled(seed, SIDE) for seed in world.HELD_OUT[:HELD_OUT]]
        draw = torch.Generator().manual_seed(1)
        self.noise = torch.randn(HELD_OUT, 4, SIDE // 8, SIDE // 8, generator=draw)
        captions = [self.shop.caption(scene.caption)[0] for scene in self.held_out]
        self.prompt = [[torch.cat([tensor for tensor, _ in captions]), captions[0][1]]]
        self.hints = torch.cat([hint_of(scene) for scene in self.held_out])
        self.found: dict[str, Any] = {}

    @cached_property
    def scenes(self) -> list[world.Scene]:
        return [scaled(seed, SIDE) for seed in range(SCENES)]

    def latents(self, pictures: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        with torch.inference_mode():
            return [{"samples": self.shop.vae.encode(as_images([picture]))} for picture in pictures]

    @cached_property
    def ordinary(self) -> list[dict[str, Any]]:
        """The scenes' latents."""
        return self.latents([scene.picture for scene in self.scenes])

    def node(self, name: str, **inputs: Any) -> Any:
        """First output of a node."""
        with torch.inference_mode():
            return self.shop.nodes[name].execute(**inputs).args[0]

    def paint(self, model: Any, control: Callable[[Any], Any] = lambda prompt: prompt) -> np.ndarray:
        """The held-out captions, as KSampler paints them; `control` adds to the prompt."""
        import comfy.sample

        prompts = [control(self.prompt), self.shop.caption("")]
        with torch.inference_mode():
            latent = comfy.sample.sample(
                model, self.noise, SAMPLING, CFG, "euler", "normal", *prompts, 0 * self.noise, seed=1,
                disable_pbar=True,
            )  # fmt: skip
            pictures = self.shop.vae.decode(latent)
        return (pictures.clamp(0, 1) * 255).round().byte().numpy()

    def train(self, kind: str, name: str, data: Mapping[str, Any], steps: int, **widgets: Any) -> Any:
        """A student after so many steps; a state from before goes on."""
        settings = COMMON | {"save_every": 0, "name": name, "steps": steps} | widgets
        with torch.inference_mode():
            given = {key: [value] for key, value in settings.items()}
            return self.shop.nodes[f"SCEditTrain{kind}Tuner"].execute(**data, **given).args[0]

    def note(self, what: str, **figures: Any) -> None:
        """Print figures, and keep them in a file."""
        self.found[what] = figures
        print(what, json.dumps(figures), flush=True)
        (self.work / "figures.json").write_text(json.dumps(self.found, indent=1) + "\n")


# --- controls --------------------------------------------------------------------------------------------


def hint_of(scene: world.Scene) -> torch.Tensor:
    """The canny hint that pictures are measured against."""
    return as_images([np.repeat(edges(scene.picture)[..., None], 3, -1) * np.uint8(255)])


def follows(bench: Bench, control: Callable[[Any], Any]) -> float:
    """Mean edge F1 of the held-out scenes under a control of the prompt."""
    made = zip(bench.paint(bench.model, control), bench.held_out, strict=True)
    return round(float(np.mean([edge_f1(picture, edges(scene.picture)) for picture, scene in made])), 3)


def by_tuner(bench: Bench, tuner: Any) -> Callable[[Any], Any]:
    """A CSC-Tuner on a prompt, with the held-out hints."""
    condition = bench.node("SCEditCondition", control=tuner, image=bench.hints)
    return lambda prompt: bench.node("SCEditApplyToPrompt", conditioning=prompt, conditions=condition)


def control_data(bench: Bench) -> dict[str, Any]:
    """The scenes with canny hints at random thresholds, and their captions."""
    rng = np.random.default_rng(3)
    texts = [scene.caption for scene in bench.scenes]
    return {
        "model": [bench.model],
        "latents": bench.ordinary,
        "positive": [bench.shop.caption(text) for text in texts],
        "empty": [bench.shop.caption("")],
        "hints": {"hint0": [as_images([random_edges(scene, rng)]) for scene in bench.scenes]},
    }


def learn_control(
    bench: Bench, name: str, positive: Any, sizes: Mapping[str, Mapping[str, Any]], at: Sequence[Stage]
) -> None:
    """Students of several sizes, by the teacher on a prompt and from pictures, measured at these steps."""
    with_captions = control_data(bench)
    captions = with_captions["positive"]
    taught = with_captions | {"teacher_positive": [positive]}
    ways = {
        TAUGHT: taught | {"positive": with_captions["empty"]},
        WORDS: taught | {"positive": captions[1:] + captions[:1]},
        CAPTIONS: taught,
        PLAIN: with_captions,
    }
    for size, widgets in sizes.items():
        for how in bench.ways:
            data = ways[how]
            for steps, rate in at:
                place = f"{name}/{size}/{how}".replace(" ", "_")
                student = bench.train("CSC", place, data, steps, learning_rate=rate, **widgets)
                bench.note(
                    f"{name}, {size}, {how}, {steps} steps",
                    f1=follows(bench, by_tuner(bench, student)),
                    loss=student.metadata["scedit.train.loss"],
                    parameters=numbers(student.patcher.model),
                )


def numbers(module: torch.nn.Module) -> int:
    return sum(weights.numel() for weights in module.parameters())


def kernel(bench: Bench, at: Sequence[Stage]) -> None:
    """The sandbox's canny control, with a 3 x 3 encoder, to one of 1 x 1, and to a tenth of the rank."""
    teacher = bench.node("SCEditLoadCSCTuner", tuner_name="canny_control")
    figure = follows(bench, by_tuner(bench, teacher))
    bench.note("teacher: canny_control", f1=figure, parameters=numbers(teacher.patcher.model))
    bench.note("no control", f1=follows(bench, lambda prompt: prompt))
    positive = by_tuner(bench, teacher)(bench.shop.caption(""))
    sizes = {"k=1": {"kernel": 1}, "ratio 10": {"kernel": 3, "ratio": 10.0}}
    learn_control(bench, "kernel", positive, sizes, at)


def controlnet(bench: Bench, at: Sequence[Stage], steps: int, students: Sequence[str]) -> None:
    """A ControlNet, trained here for `steps`, to CSC-Tuners without captions, of all sizes or of these."""
    import model as sandbox
    from teaching_teachers import control_network, hosted, train_controlnet

    import nodes as comfy_nodes

    file = bench.work / f"controlnet_{steps}.pt"
    network = control_network(
        {**sandbox.UNET, **sandbox.HEADS}, bench.model.model.diffusion_model.state_dict()
    )
    if file.is_file():
        network.load_state_dict(torch.load(file, weights_only=True))
        network.requires_grad_(False).eval()
    else:
        data = control_data(bench)
        pictures = (data["latents"], data["positive"])
        make = bench.pack.nodes.training.examples.to_training_set
        trained = make(bench.model, pictures, [data["hints"]["hint0"]], data["empty"], True)
        train_controlnet(bench.pack, bench.model, network, trained, steps, 5e-4)
        torch.save(network.state_dict(), file)
    control, apply = hosted(network), comfy_nodes.ControlNetApplyAdvanced().apply_controlnet

    def by_net(prompt: Any) -> Any:
        return apply(prompt, prompt, control, bench.hints, 1.0, 0.0, 1.0)[0]

    bench.note(
        f"teacher: ControlNet of {steps} steps", f1=follows(bench, by_net), parameters=numbers(network)
    )
    positive = by_net(bench.shop.caption(""))
    tenth = {"kernel": 1, "ratio": 2.0, "hint_channels": 128}
    sizes = {"k=3": {"kernel": 3}, "a tenth of the teacher": tenth}
    learn_control(
        bench, f"controlnet{steps}", positive, {size: sizes[size] for size in students or sizes}, at
    )


# --- styles ----------------------------------------------------------------------------------------------


def lora(bench: Bench, at: Sequence[Stage], steps: int, style: str) -> None:
    """LoRAs of a style, of all layers and of attention alone, to SC-Tuners."""
    import comfy.sd
    from safetensors.torch import load_file, save_file
    from teaching_teachers import train_lora

    scenes = bench.scenes[:STYLE_PICTURES]
    wanted = [world.STYLES[style](scene.picture) for scene in scenes]
    make = bench.pack.nodes.training.examples.to_training_set
    captions = [bench.shop.caption(scene.caption) for scene in scenes]
    styled = {"model": [bench.model], "latents": bench.latents(wanted), "positive": captions,
              "empty": [bench.shop.caption("")]}  # fmt: skip
    ordinary = styled | {"latents": bench.latents([scene.picture for scene in scenes])}
    figures = partial(style_figures, bench, wanted)
    bench.note(f"{style}: base", **figures(bench.model))
    for layers in ("all", "attention"):
        file = bench.work / f"lora_{style}_{layers}_{steps}.safetensors"
        if not file.is_file():
            data = make(bench.model, (styled["latents"], captions), [], styled["empty"], True)
            save_file(train_lora(bench.pack, bench.model, data, layers, steps, 2e-3), file)
        weights = load_file(file)
        teacher = comfy.sd.load_lora_for_models(bench.model, None, weights, 1.0, 0.0)[0]
        count = sum(value.numel() for value in weights.values())
        bench.note(f"{style}: LoRA of {layers}", parameters=count, **figures(teacher))
        encoder = {key: value for key, value in weights.items() if ".input_blocks." in key}
        parts = {layers: teacher}
        parts[f"{layers}, encoder alone"] = comfy.sd.load_lora_for_models(
            bench.model, None, encoder, 1.0, 0.0
        )[0]
        for part, model in parts.items():
            learn_style(bench, f"{style}, LoRA of {part}", ordinary | {"teacher": [model]}, figures, at)
    learn_style(bench, f"{style}, from pictures", styled, figures, at)


def learn_style(
    bench: Bench,
    name: str,
    data: Mapping[str, Any],
    figures: Callable[[Any], dict[str, Any]],
    at: Sequence[Stage],
) -> None:
    """A student of a style, measured at these steps; by a teacher also how near it comes to it."""
    from teaching_teachers import left_of as left

    for steps, rate in at:
        place = name.replace(", ", "/").replace(" ", "_")
        student = bench.train("SC", place, data, steps, learning_rate=rate)
        model = bench.node("SCEditApplySCTuner", model=bench.model, tuner=student)
        bench.note(
            f"{name}, {steps} steps",
            parameters=numbers(student.patcher.model),
            loss=student.metadata["scedit.train.loss"],
            **({"left": left(bench, data["teacher"], model)} if "teacher" in data else {}),
            **figures(model),
        )


def style_figures(bench: Bench, wanted: Sequence[np.ndarray], model: Any) -> dict[str, float]:
    """Distance to the style, and how far colours are from those that captions name."""
    painted = bench.paint(model)
    places = [world.named_places(world.scene(seed)) for seed in world.HELD_OUT[:HELD_OUT]]
    small = [[(mask[::2, ::2], colour) for mask, colour in each] for each in places]
    named = [named_error(picture, each) for picture, each in zip(painted, small, strict=True)]
    distance = style_distance(list(painted), wanted)
    return {"distance": round(distance, 2), "named": round(float(np.mean(named)), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["kernel", "lora", "controlnet"])
    parser.add_argument("--work", type=Path, required=True, help="folder for teachers and states")
    parser.add_argument("--at", type=int, nargs="+", default=[50, 100, 200, 400], help="steps measured at")
    parser.add_argument("--finish", type=int, default=0, help="further steps, at a fifth of the rate")
    parser.add_argument("--teacher-steps", type=int, default=400)
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS, help="of teaching a control")
    parser.add_argument("--students", nargs="+", default=(), help="sizes under a ControlNet; else all")
    parser.add_argument("--style", choices=list(world.STYLES), default="watercolour")
    options = parser.parse_args()
    bench = Bench(options.work.resolve(), options.ways)
    at = [(steps, RATE) for steps in options.at]
    if options.finish:
        at.append((options.at[-1] + options.finish, RATE / 5))
    if options.what == "kernel":
        kernel(bench, at)
    elif options.what == "lora":
        lora(bench, at, options.teacher_steps, options.style)
    else:
        controlnet(bench, at, options.teacher_steps, options.students)


if __name__ == "__main__":
    main()
