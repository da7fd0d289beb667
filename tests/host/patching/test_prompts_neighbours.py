"""Controls of prompts beside other nodes: they steer their prompt as the model's do, and no other one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import folder_paths
import pytest
import torch
from comfy_extras.nodes_hooks import CreateHookLoraModelOnly
from comfy_extras.nodes_model_downscale import PatchModelAddDownscale
from host_tools import picture, run
from invariants import things_of_runs
from safetensors.torch import save_file
from test_context_windows import windowed
from test_neighbours import NEIGHBOURS
from test_prompts import prompt, scope, see  # noqa: F401 - a fixture

CLOSE = {"rtol": 1e-3, "atol": 2e-4}  # prompts computed apart, where the model's control has them together


def by_node(name: str) -> Callable[[Any], Any]:
    """A neighbour that is a node with settings."""
    node, settings = NEIGHBOURS[name]
    return lambda model: run(node, model=model, **settings)


def deep_shrink(model: Any) -> Any:
    """Fewer pixels in the first half of the steps."""
    return run(
        PatchModelAddDownscale, model=model, block_number=2, downscale_factor=2.0, start_percent=0.0,
        end_percent=0.5, downscale_after_skip=False, downscale_method="bicubic", upscale_method="bicubic",
    )  # fmt: skip


def attention(model: Any) -> Any:
    """What IPAdapters do: tokens of a picture beside those of the prompt, and attention of their own."""
    tokens = torch.randn(1, 4, 32, generator=torch.Generator().manual_seed(9))

    def add(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, _options: Any) -> Any:
        more = tokens.expand(len(k), -1, -1).to(k)
        return q, torch.cat([k, more], 1), torch.cat([v, more], 1)

    def replace(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: Any) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v) * 0.5

    changed = model.clone()
    changed.set_model_attn2_patch(add)
    changed.set_model_attn1_replace(replace, "middle", 0, 0)
    return changed


BESIDE = {**{name: by_node(name) for name in NEIGHBOURS}, "Deep Shrink": deep_shrink, "IPAdapter": attention}


@pytest.fixture
def controlled(nodes, control):
    """Gives a MODEL the control that `scope` gives to a prompt."""

    def apply(model: Any) -> Any:
        return run(nodes["SCEditApplyCSCTuner"], model=model, control=control, image=picture(seed=5))

    return apply


@pytest.fixture
def acts(model, controlled, scope):  # noqa: F811
    """Compares a prompt's control with the MODEL's, whatever a neighbour does to the MODEL or to prompts."""

    def compare(
        neighbour: Callable[[Any], Any] = lambda model: model,
        hooked: Callable[[Any], Any] = lambda conditioning: conditioning,
        **how: Any,
    ) -> None:
        base, one, other = neighbour(model), hooked(prompt(1)), hooked(prompt(2))
        scoped, plain = see(base, scope(one), other, **how), see(base, one, other, **how)
        whole = see(controlled(base), one, other, **how)
        torch.testing.assert_close(scoped.positive[0], whole.positive[0], **CLOSE)
        torch.testing.assert_close(scoped.negative[0], plain.negative[0], **CLOSE)
        assert not torch.allclose(scoped.positive[0], plain.positive[0], atol=1e-3)
        assert scoped.picture.isfinite().all()
        assert things_of_runs() == []

    return compare


@pytest.mark.parametrize("name", BESIDE)
def test_a_prompts_control_acts_beside_patches_of_the_model(acts, name):
    acts(BESIDE[name])


@pytest.mark.parametrize("sampler", ["euler_cfg_pp", "dpmpp_2m_cfg_pp"])
def test_a_prompts_control_acts_in_samplers_of_cfg_pp(acts, sampler):
    acts(sampler=sampler)


def test_a_prompts_control_acts_in_context_windows(acts):
    acts(windowed, batch=5)


def test_a_prompts_control_acts_beside_a_lora_that_is_a_hook(acts, model, tmp_path, monkeypatch):
    key = "diffusion_model.middle_block.0.in_layers.2"
    size = model.model.state_dict()[f"{key}.weight"].shape
    up, down = torch.full((size[0], 1, 1, 1), 0.1), torch.full((1, *size[1:]), 0.1)
    lora = {f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down}
    save_file(lora, tmp_path / "lora.safetensors")
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(tmp_path)], {".safetensors"}))
    (hooks,) = CreateHookLoraModelOnly().create_hook_model_only("lora.safetensors", 1.0)

    def hooked(conditioning: Any) -> Any:
        return [[embedding, {**facts, "hooks": hooks}] for embedding, facts in conditioning]

    plain = see(model, prompt(1), prompt(2)).positive[0]
    assert not torch.allclose(see(model, hooked(prompt(1)), prompt(2)).positive[0], plain, atol=1e-3)
    acts(hooked=hooked)
    assert torch.equal(see(model, prompt(1), prompt(2)).positive[0], plain)
