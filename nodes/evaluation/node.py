"""The node that tells whether a tuner works."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker

from ...scedit_core import SCEditError
from ...scedit_core.evaluation.kinds import KINDS, STYLE, kind_of
from ...scedit_core.training import TrainingSet
from .. import widgets
from ..files.hosted import HostedTuners
from ..sampling import sampling_inputs
from ..sockets import CONTROL, DATASET, TUNER
from ..telling import say, told
from ..training.material import Material
from .clip import Clip
from .measuring import Judges, Subject, measure
from .painting import Settings
from .sheet import lines_of, sheet_of

_AUTO = "auto"
_MOST_SEEDS, _MOST_PICTURES = 64, 64


class SCEditEvaluateTuner(io.ComfyNode):
    """Measures whether a tuner works: held-out pictures with it, without it and with hints of others."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Evaluate Tuner", "training"),
            is_experimental=True,
            is_input_list=True,
            is_output_node=True,
            inputs=[
                io.Model.Input(
                    "model", tooltip="The model that the tuner is for, with what else is to act beside it."
                ),
                io.Vae.Input("vae", tooltip="The model's VAE."),
                TUNER.Input("tuner", optional=True, tooltip="The style to measure: this or control."),
                CONTROL.Input("control", optional=True, tooltip="The control to measure: this or tuner."),
                *_data_inputs(),
                widgets.choice(
                    "kind",
                    [_AUTO, *(name for name in KINDS if name != STYLE)],
                    "What the control follows, which decides what is measured. auto: as its file says or is "
                    "called. other: the denoising loss alone.",
                    **widgets.OPTIONAL,
                ),
                widgets.whole(
                    "pictures", 4, (1, _MOST_PICTURES), "Held-out pictures: the first of the list.",
                    **widgets.OPTIONAL,
                ),
                widgets.whole(
                    "seeds", 2, (1, _MOST_SEEDS),
                    "How often each picture is painted; the figures' spread is over these.",
                    **widgets.OPTIONAL,
                ),
                *_painting_inputs(),
                *_clip_inputs(),
            ],
            outputs=_outputs(),
            **widgets.KEEPS_PREVIEW,
        )  # fmt: skip

    @classmethod
    def execute(cls, model: list[Any], vae: list[Any], **inputs: list[Any]) -> io.NodeOutput:
        tuners, is_style = _tuners(inputs.pop("tuner", None), inputs.pop("control", None))
        material, hints = Material.taken(inputs), inputs.pop("hints", None)
        given = {name: values[0] for name, values in inputs.items() if values}
        judges = Judges(vae[0], Clip.of(given.get("clip_vision"), given.get("clip_text")))
        data = material.training_set(model[0], None if is_style else [hints] if hints else [], True)
        subject = Subject(model[0], tuners, _kind(given, tuners, data, is_style))
        measured = measure(subject, data, given.get("pictures", 4), judges, _settings(given), say)
        sheet, lines = sheet_of(measured)[None], "\n".join(lines_of(measured))
        labelled, other = measured.labelled(tuners), ExecutionBlocker(None)
        outputs = (labelled, other) if is_style else (other, labelled)
        shown = {**ui.PreviewImage(sheet, cls=cls).as_dict(), **told(lines).as_dict()}
        report = measured.record.to_json(measured.verdict)
        return io.NodeOutput(*outputs, sheet, measured.verdict, report, ui=shown)


def _data_inputs() -> list[io.Input]:
    """Held-out pictures: in lists as 'Training Folder' makes them, or as a data set."""
    return [
        io.Latent.Input(
            "latents",
            optional=True,
            tooltip="Pictures that the tuner has not learnt from, as latents: of a style, some that show it. "
            "As 'Training Folder' makes them.",
        ),
        io.Conditioning.Input(
            "positive",
            optional=True,
            tooltip="Their prompts, in the same order; a single one serves for all.",
        ),
        io.Conditioning.Input(
            "empty", optional=True, tooltip="An empty prompt, for cfg. Without one there is no guidance."
        ),
        io.Image.Input(
            "hints", optional=True, tooltip="One hint per picture, in the same order, for a control."
        ),
        DATASET.Input(
            "dataset",
            optional=True,
            tooltip="A data set on disk in place of the lists, with held-out pictures.",
        ),
    ]


def _painting_inputs() -> list[io.Input]:
    """How pictures are painted."""
    steps, cfg, sampler, scheduler = sampling_inputs()
    strength = widgets.number(
        "strength", 1.0, (-10.0, 10.0), "Strength of the tuner.", step=0.01, **widgets.ADVANCED
    )
    first = widgets.seed("The first seed; further ones count on from it.", **widgets.OPTIONAL)
    return [first, steps, cfg, strength, sampler, scheduler]


def _clip_inputs() -> list[io.Input]:
    """What holds pictures to their prompts."""
    return [
        io.ClipVision.Input(
            "clip_vision",
            optional=True,
            tooltip="For the CLIP score: how far pictures show what their prompts say. Of 'Load CLIP "
            "Vision', such as ViT-L/14.",
        ),
        io.Clip.Input(
            "clip_text",
            optional=True,
            tooltip="The same CLIP's other half, of 'Load CLIP': clip_l.safetensors for ViT-L/14. A "
            "checkpoint of SD 1.5 lacks what it takes.",
        ),
    ]


def _outputs() -> list[io.Output]:
    return [
        TUNER.Output(display_name="tuner", tooltip="The style, whose file will say what was measured."),
        CONTROL.Output(
            id="control",
            display_name="control",
            tooltip="The control, whose file will say what was measured.",
        ),
        io.Image.Output(display_name="sheet", tooltip="Each picture with the tuner, without it, and so on."),
        io.String.Output(display_name="verdict", tooltip="Whether it works, in one sentence."),
        io.String.Output(id="json", display_name="json", tooltip="All figures, for programs."),
    ]


def _tuners(
    tuner: list[HostedTuners] | None, control: list[HostedTuners] | None
) -> tuple[HostedTuners, bool]:
    """What is to be measured, and whether it is a style."""
    given = [*(tuner or ()), *(control or ())]
    if len(given) != 1:
        raise SCEditError(
            f"one tuner is measured at a time, got {len(given)}; connect a style to tuner or a control to "
            "control, and put others on the model before"
        )
    return given[0], bool(tuner)


def _kind(given: dict[str, Any], tuners: HostedTuners, data: TrainingSet, is_style: bool) -> str:
    """What is measured. Raises SCEditError for pictures whose hints are not those of one control."""
    if is_style:
        return STYLE
    if data.examples.hints != 1:
        raise SCEditError(
            f"the pictures have {data.examples.hints} kinds of hint, and one control is measured; give the "
            "hints of that one alone"
        )
    said = given.get("kind", _AUTO)
    return kind_of(tuners.name, tuners.metadata) if said == _AUTO else said


def _settings(given: dict[str, Any]) -> Settings:
    first = given.get("seed", 0)
    return Settings(
        seeds=tuple((first + number) % 2**64 for number in range(given.get("seeds", 2))),
        steps=given.get("steps", 20),
        cfg=given.get("cfg", 5.0),
        sampler=given.get("sampler_name", "euler"),
        scheduler=given.get("scheduler", "normal"),
        strength=given.get("strength", 1.0),
    )
