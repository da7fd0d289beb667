"""Every kind of U-Net that ComfyUI knows trains on what it predicts and reads."""

from __future__ import annotations

from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.model_patcher
import comfy.supported_models_base
import pytest
import torch
from comfy.model_base import ModelType
from host_tools import drawn

UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1],
    "channel_mult": [1, 2], "transformer_depth": [0, 1], "transformer_depth_output": [0, 0, 1, 1],
    "transformer_depth_middle": 1, "use_spatial_transformer": True, "legacy": False, "context_dim": 32,
    "use_linear_in_transformer": True, "use_temporal_attention": False, "num_heads": 2,
    "num_head_channels": -1, "dtype": torch.float32,
}  # fmt: skip
SDXL = {"adm_in_channels": 2816, "num_classes": "sequential"}


def random_model(kind: type, model_type: ModelType, **unet: Any) -> Any:
    """A MODEL with random weights; `kind` is its class in ComfyUI."""

    class Config(comfy.supported_models_base.BASE):
        unet_config = {}  # noqa: RUF012 - the host reads a plain class attribute
        unet_extra_config = {}  # noqa: RUF012
        latent_format = comfy.latent_formats.SD15

    config = Config({**UNET, **unet})
    torch.manual_seed(0)
    model = kind(config, model_type=model_type, device="cpu")
    model.diffusion_model = drawn(
        lambda: kind(config, model_type=model_type, device="cpu").diffusion_model,
        lambda x: torch.randn(x.shape) * 0.5 / max(1, x[0].numel()) ** 0.5,
    )
    cpu = torch.device("cpu")
    return comfy.model_patcher.CoreModelPatcher(model, cpu, cpu)


def caption(**extra: Any) -> list[Any]:
    """One entry of a conditioning."""
    return [torch.randn(1, 7, 32, generator=torch.Generator().manual_seed(2)), extra]


def draws(count: int) -> list[torch.Generator]:
    """Where each of some pictures has its noise from."""
    return [torch.Generator().manual_seed(4 + place) for place in range(count)]


@pytest.mark.parametrize(
    ("model_type", "target"),
    [
        (ModelType.EPS, lambda x, noise, sigma: noise),
        (ModelType.V_PREDICTION, lambda x, noise, sigma: (noise - sigma * x) / (1 + sigma**2).sqrt()),
    ],
    ids=["eps", "v"],
)
def test_the_loss_is_that_of_the_networks_output(model_type, target, pack, host_mode):
    training, host_model = pack.scedit_core.training, pack.nodes.training.base_model
    model = random_model(comfy.model_base.BaseModel, model_type)
    batch = training.Batch(torch.randn(3, 4, 8, 8), (caption(),) * 3, ())
    with host_model.differentiable(model) as base:
        loss = training.denoising_loss(base, batch, (), draws(3), 0.0)
    drawn = [(torch.randint(1000, (), generator=d), torch.randn(4, 8, 8, generator=d)) for d in draws(3)]
    sampling = model.model.model_sampling
    sigma = sampling.sigmas[[int(place) for place, _ in drawn]]
    noise, level = torch.stack([noise for _, noise in drawn]), sigma.view(-1, 1, 1, 1)
    noisy = (batch.latents + level * noise) / (1 + level**2).sqrt()
    context = caption()[0].expand(3, -1, -1)
    output = model.model.diffusion_model(noisy, sampling.timestep(sigma).float(), context=context)
    wanted = (output - target(batch.latents, noise, level)).square().mean()
    assert torch.allclose(loss, wanted, rtol=1e-3)


MODELS = {
    "v-prediction": (comfy.model_base.BaseModel, ModelType.V_PREDICTION, {}, {}),
    "EDM": (comfy.model_base.BaseModel, ModelType.EDM, {}, {}),
    "SDXL": (
        comfy.model_base.SDXL,
        ModelType.EPS,
        SDXL,
        {"pooled_output": torch.ones(1, 1280), "width": 640, "height": 512},
    ),
    "inpainting": (comfy.model_base.BaseModel, ModelType.EPS, {"in_channels": 9}, {}),
    "instruct": (comfy.model_base.SD15_instructpix2pix, ModelType.EPS, {"in_channels": 8}, {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_each_kind_of_model_trains_a_style_and_a_control(name, nodes, host_mode, tmp_path, monkeypatch):
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    kind, model_type, unet, extra = MODELS[name]
    model = random_model(kind, model_type, **unet)
    if name == "inpainting":
        model.model.set_inpaint()
    widgets = {
        "name": "any", "steps": 2, "batch_size": 2, "accumulation": 1, "learning_rate": 1e-3, "seed": 0,
        "tuner_op": "adapter", "ratio": 1.0,
    }  # fmt: skip
    lists = {key: [value] for key, value in widgets.items()}
    with torch.inference_mode():
        data = {
            "model": [model],
            "latents": [{"samples": torch.randn(1, 4, 8, 8)}, {"samples": torch.randn(1, 4, 8, 16)}],
            "positive": [[caption(**extra)]] * 2,
            "empty": [[caption(**extra)]],
        }
        tuner, _, steps = nodes["SCEditTrainSCTuner"].execute(**data, **lists, caption_dropout=[0.5]).args
        encoder = {
            "kernel": [1],
            "hint_channels": [16],
            "stem_ratio": [0.25],
            "when_state_exists": ["start over"],
        }
        hints = {"hint0": [torch.rand(1, 64, 64, 3)] * 2}
        control, *_ = nodes["SCEditTrainCSCTuner"].execute(**data, **lists, **encoder, hints=hints).args
    assert steps == 2
    for trained in (tuner, control):
        weights = trained.patcher.model.state_dict()
        assert all(value.isfinite().all() for value in weights.values())
        assert any(value.any() for key, value in weights.items() if ".up." in key)


SIZES = ("height", "width", "crop_h", "crop_w", "target_height", "target_width")
PICTURES = ((512, 640, 0, 8, 64, 64), (300, 200, 4, 0, 64, 64))


@pytest.mark.parametrize("told", [{}, {"width": 1024, "height": 1024}], ids=["plain", "with sizes"])
def test_a_dropped_caption_leaves_sdxl_the_sizes_of_its_picture(told, nodes, tmp_path, monkeypatch):
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    model = random_model(comfy.model_base.SDXL, ModelType.EPS, **SDXL)
    seen = []
    model.model.diffusion_model.register_forward_pre_hook(
        lambda _, __, given: seen.extend(given["y"]), with_kwargs=True
    )
    widgets = {
        "name": "any", "steps": 6, "batch_size": 1, "accumulation": 1, "learning_rate": 1e-3, "seed": 0,
        "tuner_op": "adapter", "ratio": 1.0, "caption_dropout": 1.0, "preview_every": 6,
    }  # fmt: skip
    with torch.inference_mode():
        nodes["SCEditTrainSCTuner"].execute(
            model=[model],
            latents=[{"samples": torch.randn(1, 4, 8, 8)} for _ in PICTURES],
            positive=[
                [caption(pooled_output=torch.ones(1, 1280), **dict(zip(SIZES, sizes, strict=True)))]
                for sizes in PICTURES
            ],
            empty=[[caption(pooled_output=torch.zeros(1, 1280), **told)]],
            **{key: [value] for key, value in widgets.items()},
        )
    embedded = [model.model.embedder(torch.tensor(sizes)).flatten() for sizes in PICTURES]
    dropped = [y[1280:] for y in seen if not y[:1280].any()]
    assert len(dropped) > 20
    for sizes in embedded:
        assert any(torch.allclose(sizes, y) for y in dropped)
    assert all(any(torch.allclose(sizes, y) for sizes in embedded) for y in dropped)
