"""What teachers can teach, on the sandbox: LoRA to SC-Tuner, ControlNet and larger tuner to CSC-Tuner.

    python dev.py bench teaching WHAT --work FOLDER

WHAT is `kernel` (a control with a 3 x 3 hint encoder to smaller ones), `lora` or `controlnet`. All pictures
are 128 x 128, so that a step takes a fraction of a second on one core. Every student is trained from the same
seed by the teacher alone and from pictures alone, and measured on the way: a control by its teacher without
captions, under those of other pictures and under its own, at strength 1 and above. FOLDER keeps teachers and
states: a run that was cut goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from teaching_bench import HELD_OUT, Bench  # first: it brings the sandbox's modules

import world  # isort: skip
from measure import edge_f1, edges, named_error, style_distance  # isort: skip
from scene_edges import random_edges  # isort: skip
from train_styles import STYLE_PICTURES, as_images  # isort: skip

TAUGHT, WORDS, CAPTIONS, PLAIN = WAYS = (
    "by the teacher", "by the teacher under any words", "by the teacher with captions", "from pictures",
)  # fmt: skip
RATE = 2e-3
Stage = tuple[int, float]  # so many steps in all, from those before on at this rate


# --- controls --------------------------------------------------------------------------------------------


def follows(bench: Bench, control: Callable[[Any], Any]) -> float:
    """Mean edge F1 of the held-out scenes under a control of the prompt."""
    made = zip(bench.paint(bench.model, control), bench.held_out, strict=True)
    return round(float(np.mean([edge_f1(picture, edges(scene.picture)) for picture, scene in made])), 3)


def by_tuner(bench: Bench, tuner: Any, strength: float = 1.0) -> Callable[[Any], Any]:
    """A CSC-Tuner on a prompt, with the held-out hints."""
    condition = bench.node("SCEditCondition", control=tuner, image=bench.hints)
    inputs = {"conditions": condition, "strength": strength}
    return lambda prompt: bench.node("SCEditApplyToPrompt", conditioning=prompt, **inputs)


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
                    f1_at_1_5=follows(bench, by_tuner(bench, student, 1.5)),
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
