"""Training in a real ComfyUI, on the golden U-Nets: what is learnt, kept, saved and continued."""

from __future__ import annotations

import re
from pathlib import Path

import comfy.model_management
import folder_paths
import pytest
import torch
from comfy_extras.nodes_dataset import ResolutionBucket
from host_tools import picture, run, sample, tiny_model
from PIL import Image
from training_node_tools import CSC, SAVE, SC, cancelled_at, equal, hints, lists, train, weights

from scedit_core import read_checkpoint

pytestmark = pytest.mark.usefixtures("output")


def test_a_trained_style_acts_at_once_and_the_model_is_as_before(sc, nodes, model):
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    parameters = dict(model.model.named_parameters())
    plain = sample(model)
    tuner, plot, steps = train(sc, lists(model))
    assert (steps, plot.shape) == (3, (1, 432, 768, 3))
    assert all(torch.equal(value, before[key]) for key, value in model.model.state_dict().items())
    assert all(value is parameters[key] for key, value in model.model.named_parameters())
    assert torch.equal(sample(model), plain)
    styled = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner)
    assert not torch.equal(sample(styled), plain)
    assert not comfy.model_management.in_training


@pytest.mark.parametrize("op", ["adapter", "conv", "lora"])
@pytest.mark.parametrize("kind", ["sc", "csc", "csc k3", "csc dual"])
def test_every_form_trains_saves_loads_and_applies(op, kind, nodes, model):
    data, settings = lists(model), SC | {"name": f"{kind} {op}", "tuner_op": op, "ratio": 2.0, "steps": 1}
    if kind == "sc":
        trained, *_ = train(nodes["SCEditTrainSCTuner"], data, settings, blocks="0, 2, 5")
        load, apply, inputs = "SCEditLoadSCTuner", "SCEditApplySCTuner", {"model": model}
    else:
        settings = CSC | settings | {"kernel": 3 if kind == "csc k3" else 1, "dual_conv": kind == "csc dual"}
        trained, *_ = train(nodes["SCEditTrainCSCTuner"], data | {"hints": {"hint0": hints()}}, settings)
        load, apply = "SCEditLoadCSCTuner", "SCEditApplyCSCTuner"
        inputs = {"model": model, "image": picture()}
    saved = run(
        nodes["SCEditSaveTuner"], tuner=trained, name="a/b", if_exists="add a number", dtype="as trained"
    )
    loaded = run(nodes[load], tuner_name=saved)
    socket = "tuner" if kind == "sc" else "control"
    in_memory, from_disk = (
        sample(run(nodes[apply], **inputs, **{socket: tuners}), steps=2) for tuners in (trained, loaded)
    )
    assert torch.equal(in_memory, from_disk)
    assert loaded.patcher.model.spec == trained.patcher.model.spec


def test_two_kinds_of_hint_make_two_controls_in_one_run(csc, nodes, model):
    other = [1 - hint for hint in hints()]
    data = lists(model) | {"hints": {"hint0": hints(), "hint1": other}}
    first, _, steps, second, *rest = train(csc, data, CSC)
    assert steps == 3
    assert not equal(first, second)
    assert [type(one).__name__ for one in rest] == ["ExecutionBlocker"] * 2
    assert {one.patcher.model.spec.kind for one in (first, second)} == {"csc"}


@pytest.mark.parametrize("base", [torch.float32, torch.float16], ids=["fp32", "fp16"])
@pytest.mark.parametrize(
    "settings", [{"ema_decay": 0.9, "accumulation": 2}, {"precision": "bf16", "ema_decay": 0.9}], ids=str
)
def test_a_cancelled_training_goes_on_to_the_same_tuner(settings, base, sc):
    model = tiny_model(dtype=base)
    straight, _, _ = train(sc, lists(model), SC, name="straight", **settings)
    cancelled_at(2, sc, lists(model), SC, name="broken", **settings)
    resumed, _, steps = train(sc, lists(model), SC, name="broken", **settings)
    assert steps == 3
    assert equal(resumed, straight)


def test_a_cancelled_control_goes_on_to_the_same_control(csc, model):
    data = lists(model) | {"hints": {"hint0": hints(drawings=3)}}
    straight, *_ = train(csc, data, CSC, name="straight")
    cancelled_at(1, csc, data, CSC, name="broken")
    assert equal(train(csc, data, CSC, name="broken")[0], straight)


def test_starting_over_keeps_the_earlier_state_beside_the_new_one(sc, model, output):
    train(sc, lists(model), SC, steps=1)
    old = (output / "scedit_training" / "style.safetensors").read_bytes()
    with pytest.raises(ValueError, match=r"seed 0 is now 5.*start over"):
        train(sc, lists(model), SC, seed=5)
    folder = output / "scedit_training"
    for seed in (5, 6):  # the widget is left as it is
        before = (folder / "style.safetensors").read_bytes()
        train(sc, lists(model), SC, seed=seed, when_state_exists="start over")
    kept = {file.name: file.read_bytes() for file in folder.glob("*.previous*")}
    assert kept == {"style.previous.safetensors": old, "style.previous-2.safetensors": before}


def test_a_tuner_can_be_trained_further(sc, model):
    first, *_ = train(sc, lists(model), SC, name="first")
    further, *_ = train(sc, lists(model) | {"tuner": [first]}, SC, name="further", learning_rate=1e-9)
    difference = max((weights(further)[key] - weights(first)[key]).abs().max() for key in weights(first))
    assert 0 < difference < 1e-6


def test_a_tuner_for_another_model_is_no_start(sc, pack, model):
    core = pack.scedit_core
    spec = core.TunerSpec.sc(core.SkipLayout((8, 8), (1, 1)))
    other = pack.nodes.files.hosted.host_tuners("other", spec, core.build_tuners(spec).state_dict(), {})
    with pytest.raises(ValueError, match=r"'other' was made for "):
        train(sc, lists(model) | {"tuner": [other]}, SC)


def test_a_training_that_fails_at_once_leaves_no_tuner(sc, model, pack, monkeypatch):
    monkeypatch.setattr(
        pack.scedit_core.training.loop,
        "denoising_loss",
        lambda *_: torch.tensor(torch.nan, requires_grad=True),
    )
    folder = Path(folder_paths.models_dir, "scedit")
    with pytest.raises(ValueError, match=r"loss became nan after 0 steps"):
        train(sc, lists(model), SC, name="nothing", save_every=1)
    assert not list(folder.glob("nothing*"))


def test_tuners_are_saved_on_the_way_and_can_be_loaded(sc, nodes, model):
    tuner, *_ = train(sc, lists(model), SC, name="sub/way", save_every=2, steps=4)
    halfway = run(nodes["SCEditLoadSCTuner"], tuner_name="sub/way-step000002.safetensors")
    last = run(nodes["SCEditLoadSCTuner"], tuner_name="sub/way-step000004.safetensors")
    assert equal(last, tuner)
    assert not equal(halfway, tuner)
    assert halfway.metadata["scedit.train.steps"] == "2"


def test_previews_do_not_change_what_is_learnt(sc, csc, model):
    temp = Path(folder_paths.get_temp_directory())
    before = set(temp.glob("*.png"))
    seen, *_ = train(sc, lists(model), SC, name="seen", preview_every=2)
    shown = [Image.open(file).size for file in set(temp.glob("*.png")) - before]
    # a preview and the losses after two steps, and both again at the end
    assert sorted(shown) == [(128, 128), (128, 128), (768, 432), (768, 432)]
    assert equal(seen, train(sc, lists(model), SC, name="unseen")[0])


def test_a_control_is_trained_on_top_of_the_styles_that_the_model_has(csc, nodes, model, tuner):
    styled = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner)
    frozen = {key: value.clone() for key, value in weights(tuner).items()}
    data = {"hints": {"hint0": hints()}}
    plain, *_ = train(csc, lists(model) | data, CSC, name="plain")
    above, *_ = train(csc, lists(styled) | data, CSC, name="above")
    assert not equal(plain, above)
    assert all(torch.equal(value, frozen[key]) for key, value in weights(tuner).items())


def test_what_core_dataset_nodes_make_is_accepted(sc, model):
    data = lists(model, ((16, 16), (16, 24), (16, 16), (16, 24)))
    bucketed = ResolutionBucket.execute(data["latents"], data["positive"]).args
    mixed, *_ = train(sc, data, SC, name="mixed")
    buckets, *_ = train(sc, data | {"latents": bucketed[0], "positive": bucketed[1]}, SC, name="buckets")
    assert weights(mixed).keys() == weights(buckets).keys()
    one_for_all = train(sc, data | {"positive": data["positive"][:1]}, SC, name="one")
    assert one_for_all[2] == 3


def test_a_half_precision_model_is_trained_with_scaled_losses(sc):
    half = tiny_model(dtype=torch.float16)
    tuner, _, steps = train(sc, lists(half), SC)
    assert steps == 3
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in weights(tuner).values())
    assert any(value.any() for key, value in weights(tuner).items() if ".up." in key)


def test_saved_metadata_says_what_was_trained_and_how(sc, nodes, model, output):
    tuner, *_ = train(sc, lists(model), SC)
    save = nodes["SCEditSaveTuner"]
    settings = {"if_exists": "add a number", "dtype": "as trained", "trigger": "<sce>"}
    names = [run(save, tuner=tuner, name="style", **settings) for _ in range(2)]
    assert names == ["style.safetensors", "style-2.safetensors"]
    folder = Path(folder_paths.models_dir, "scedit")
    said = read_checkpoint(folder / names[0]).metadata
    wanted = {
        "scedit.kind": "sc",
        "scedit.op": "adapter",
        "scedit.base": "Tiny",
        "scedit.prediction": "eps",
        "scedit.train.steps": "3",
        "scedit.train.learning_rate": "0.001",
        "scedit.train.pictures": "4",
        "modelspec.title": "style",
        "modelspec.trigger_phrase": "<sce>",
    }
    assert said | wanted == said
    again = run(nodes["SCEditLoadSCTuner"], tuner_name=names[0])
    saved = run(save, tuner=again, name="again", if_exists="replace it", dtype="as trained")
    assert (folder / saved).read_bytes() == (folder / names[0]).read_bytes()
    half = run(save, tuner=tuner, name="half", if_exists="replace it", dtype="fp16")
    assert (folder / half).stat().st_size < 0.6 * (folder / saved).stat().st_size


def test_a_tuner_is_saved_in_the_authors_layout_too(sc, nodes, model):
    tuner, *_ = train(sc, lists(model), SC)
    saved = run(nodes["SCEditSaveTuner"], tuner=tuner, name="shared/style", **SAVE, layout="scepter")
    folder = Path(folder_paths.models_dir, "scedit", saved)
    assert read_checkpoint(folder).format_name == "swift SC-Tuner"
    assert equal(run(nodes["SCEditLoadSCTuner"], tuner_name=saved), tuner)
    assert run(nodes["SCEditSaveTuner"], tuner=tuner, name="shared/style", **SAVE, layout="scepter") == (
        "shared/style-2"
    )


@pytest.mark.parametrize("memory", ["less", "least"])
@pytest.mark.parametrize("node", ["SCEditTrainSCTuner", "SCEditTrainCSCTuner"])
def test_saving_memory_changes_no_bit_of_the_tuner(node, memory, nodes, model):
    data = lists(model) | ({"hints": {"hint0": hints()}} if "CSC" in node else {})
    settings = CSC if "CSC" in node else SC
    full, *_ = train(nodes[node], data, settings, name="full", memory="full speed")
    saving, *_ = train(nodes[node], data, settings, name="saving", memory=memory)
    assert equal(saving, full)


def test_memory_can_be_changed_when_a_training_goes_on(sc, model):
    straight, *_ = train(sc, lists(model), SC, name="straight")
    cancelled_at(2, sc, lists(model), SC, name="broken", memory="full speed")
    assert equal(train(sc, lists(model), SC, name="broken", memory="least")[0], straight)


def test_what_a_training_will_take_is_told_before_it_starts(sc, model, caplog):
    with caplog.at_level("INFO"):
        train(sc, lists(model), SC)
    assert re.search(r"'style' needs about \d+\.\d GB .*\(\d+\.\d GB free\) and about \d+ s", caplog.text)


def test_a_training_that_cannot_fit_is_refused_with_what_to_do(sc, model, monkeypatch):
    monkeypatch.setattr(comfy.model_management, "get_free_memory", lambda *_, **__: 1e6)
    with pytest.raises(ValueError, match=r"needs about .* but 0\.0 GB are free; set memory to 'least'"):
        train(sc, lists(model), SC)
    assert not comfy.model_management.in_training


def test_an_error_on_the_way_leaves_the_model_as_it_was(sc, model):
    parameters = dict(model.model.named_parameters())
    before = sample(model)
    cancelled_at(1, sc, lists(model), SC)
    assert all(value is parameters[key] for key, value in model.model.named_parameters())
    assert not comfy.model_management.in_training
    assert torch.equal(sample(model), before)
