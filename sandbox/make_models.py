"""Write the sandbox's model files: one checkpoint, two CSC-Tuners, one SC-Tuner. Nothing in them is trained.

    python make_models.py --comfyui PATH --out MODELS_DIR [--seed 0]

The same seed gives the same bytes; files that exist are kept. The tuners follow the authors' published
layouts and are built from those layouts alone, so that loading them tests the loader.

A randomly initialised U-Net turns noise into noise. To get a picture worth looking at, a few channels, the
lanes, pass the latent straight through the U-Net's first skip and through the VAE; everything else is random
and disturbs them. Lane i holds +z_i, lane i + LATENT holds -z_i: as silu(z) - silu(-z) = z and
relu(z) - relu(-z) = z, a pair survives every activation.
"""

import argparse
import io
import json
import math
import os
import re
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

Shapes = Mapping[str, Sequence[int]]
Weights = dict[str, Tensor]
Gains = Sequence[tuple[str, float]]
Build = Callable[[torch.Generator], bytes]

LATENT = 4
LANES = 2 * LATENT

# 1 / sqrt(fan_in) times the first gain whose pattern is found in the key
UNET_GAINS: Gains = (
    (r"^out\.2\.", 0.17),
    (r"attn2\.to_out", 4.0),
    (r"attn2\.to_q", 3.0),
    (r"emb_layers", 0.5),
)
TEXT_GAINS: Gains = ((r"token_embedding", 8.0), (r"position_embedding", 2.0), (r"out_proj", 2.0))
VAE_GAINS: Gains = (
    (r"taesd_encoder\.14\.", 0.02),
    (r"taesd_decoder\.19\.", 0.06),
    (r"conv\.4\.", 0.3),
    (r"", 1.4),
)
SC_GAINS: Gains = ((r"ln2", 0.4),)
CSC_GAINS: Gains = ((r"pre_hint", 1.9), (r"dense_hint", 1.8), (r"ln2", 0.3))

# the four latent channels see red, green and blue with these signs; the transpose is the inverse, up to scale
TETRAHEDRON = ((1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0))
LATENT_PER_COLOUR = 2.0
# how much of the latent's fine and coarse parts is predicted to be noise
FINE = 1.05
COARSE = 0.95

ADAPTER = "0_SwiftSCETuning"
PRE_HINT_RATIO = 0.5
PRE_HINT_OUT = 32


def import_model(comfyui: Path) -> ModuleType:
    """model.py beside this file; imported late, because comfy exists only once --comfyui is on the path."""
    sys.path.insert(0, str(comfyui))
    import comfy.cli_args  # leaves our command line alone: parsing is off unless main.py turns it on

    comfy.cli_args.args.cpu = True
    import model

    return model


def random_weights(shapes: Shapes, gains: Gains, generator: torch.Generator) -> Weights:
    """Norms 1, biases 0, the rest normal with 1 / sqrt(fan_in) times its gain. Drawn in sorted key order."""
    weights = {}
    for key in sorted(shapes):
        shape = tuple(shapes[key])
        if len(shape) < 2:
            weights[key] = torch.zeros(shape) if key.endswith("bias") else torch.ones(shape)
            continue
        gain = next((gain for pattern, gain in gains if re.search(pattern, key)), 1.0)
        weights[key] = torch.randn(shape, generator=generator) * (gain / math.sqrt(math.prod(shape[1:])))
    return weights


def point() -> Tensor:
    """3x3 kernel that copies a pixel."""
    return torch.tensor([0.0, 1.0, 0.0]).outer(torch.tensor([0.0, 1.0, 0.0]))


def smooth() -> Tensor:
    """3x3 kernel that makes a nearest-neighbour upsampling a bilinear one."""
    return torch.tensor([0.25, 0.5, 0.25]).outer(torch.tensor([0.25, 0.5, 0.25]))


def halve() -> Tensor:
    """3x3 kernel that, at stride 2, averages squares of four pixels."""
    return torch.tensor([0.0, 0.5, 0.5]).outer(torch.tensor([0.0, 0.5, 0.5]))


def enter(weight: Tensor, mix: Tensor, kernel: Tensor) -> None:
    """Let the lanes of the output read mix (LATENT, in) of the input."""
    weight[:LANES] = torch.cat([mix, -mix])[..., None, None] * kernel


def carry(weight: Tensor, kernel: Tensor, first: int = 0) -> None:
    """Copy the lanes, which begin at input channel `first`; nothing else reaches them."""
    weight[:LANES] = 0
    weight[:LANES, first : first + LANES] = torch.eye(LANES)[..., None, None] * kernel


def leave(weight: Tensor, mix: Tensor, kernel: Tensor) -> None:
    """Let the output read mix (out, LATENT) of the lanes."""
    weight[:, :LANES] = torch.cat([mix, -mix], dim=1)[..., None, None] * kernel


def route_unet(weights: Weights, model: ModuleType) -> None:
    """Make the prediction mostly the noisy latent itself, which is what noise should be predicted as."""
    width = model.UNET["model_channels"]
    last = f"output_blocks.{len(model.skips()) - 1}.0"
    enter(weights["input_blocks.0.0.weight"], torch.eye(LATENT), point())
    carry(weights[f"{last}.skip_connection.weight"], torch.ones(1, 1), first=width)
    weights[f"{last}.out_layers.3.weight"][:LANES] = 0
    out = weights["out.2.weight"]
    rest = out[:, LANES:].sum((2, 3), keepdim=True)
    # smooth for forms instead of speckles; centred, as silu's mean would tint every picture
    out[:, LANES:] = (rest - rest.mean(1, keepdim=True)) * smooth()
    leave(out, torch.eye(LATENT), FINE * point() + (COARSE - FINE) * smooth())


def route_vae(weights: Weights) -> None:
    """Make the encoder average 8x8 pixels into a latent and the decoder its smooth inverse."""
    mix = LATENT_PER_COLOUR * torch.tensor(TETRAHEDRON)
    for key, weight in weights.items():
        if key.endswith("conv.4.weight"):
            weight[:LANES] = 0
    enter(weights["taesd_encoder.0.weight"], mix, point())
    weights["taesd_encoder.0.bias"][:LANES] = -0.5 * torch.cat([mix, -mix]).sum(1)  # mid-grey is zero
    for layer in (2, 6, 10):
        carry(weights[f"taesd_encoder.{layer}.weight"], halve())
    leave(weights["taesd_encoder.14.weight"], torch.eye(LATENT), point())
    enter(weights["taesd_decoder.1.weight"], torch.eye(LATENT), point())
    for layer in (7, 12, 17):
        carry(weights[f"taesd_decoder.{layer}.weight"], smooth())
    leave(weights["taesd_decoder.19.weight"], mix.T / (LATENT * LATENT_PER_COLOUR**2), point())
    weights["taesd_decoder.19.bias"].fill_(0.5)


def shapes_of(module: torch.nn.Module) -> Shapes:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def unet_weights(model: ModuleType, generator: torch.Generator) -> Weights:
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    unet = UNetModel(**model.UNET, **model.HEADS, dtype=torch.float32, device="meta")
    weights = random_weights(shapes_of(unet), UNET_GAINS, generator)
    route_unet(weights, model)
    return weights


def text_weights(model: ModuleType, generator: torch.Generator) -> Weights:
    text = model.TextModel(device="meta", dtype=torch.float32)
    return random_weights(shapes_of(text), TEXT_GAINS, generator)


def vae_weights(model: ModuleType, generator: torch.Generator) -> Weights:
    from comfy.taesd.taesd import TAESD

    with torch.device("meta"):
        vae = TAESD(latent_channels=LATENT)
    weights = random_weights(shapes_of(vae), VAE_GAINS, generator)
    weights["vae_scale"] = torch.tensor(model.SCEditSandbox.latent_format().scale_factor)
    weights["vae_shift"] = torch.tensor(0.0)
    route_vae(weights)
    return weights


def checkpoint(model: ModuleType, generator: torch.Generator) -> bytes:
    parts = {
        "model.diffusion_model.": unet_weights(model, generator),
        "cond_stage_model.clip_l.": text_weights(model, generator),
        "first_stage_model.": vae_weights(model, generator),
    }
    return safetensors_bytes({p + key: w.half() for p, part in parts.items() for key, w in part.items()})


def adapter_shapes(prefix: str, channels: int) -> Shapes:
    """The authors' SCEAdapter at ratio 1: ln1 down, ln2 up."""
    names = [f"{prefix}.tuner_op.{layer}" for layer in ("ln1", "ln2")]
    return {f"{n}.weight": (channels, channels) for n in names} | {f"{n}.bias": (channels,) for n in names}


def conv_shapes(name: str, width_in: int, width_out: int, kernel: int) -> Shapes:
    return {f"{name}.weight": (width_out, width_in, kernel, kernel), f"{name}.bias": (width_out,)}


def control_shapes(channels: Sequence[int], kernel: int) -> Shapes:
    """Keys of a published CSC-Tuner. Channels and dense blocks are in input order, tuners in output order."""
    narrow, middle, wide = (int(width * PRE_HINT_RATIO) for width in (16, 32, 96))
    widths = [3, narrow, narrow, middle, middle, wide, wide, PRE_HINT_OUT]
    shapes: dict[str, Sequence[int]] = {}
    for i in range(7):
        shapes |= conv_shapes(f"pre_hint_blocks.{2 * i}", widths[i], widths[i + 1], 3)
    for j, (before, after) in enumerate(zip([PRE_HINT_OUT, *channels[:-1]], channels, strict=True)):
        shapes |= conv_shapes(f"dense_hint_blocks.{j}.1", before, after, kernel)
    for m, width in enumerate(reversed(channels)):
        shapes |= adapter_shapes(f"lsc_tuner_blocks.{m}", width)
    return shapes


def control_config(skips: Sequence[tuple[int, int]], kernel: int) -> dict:
    return {
        "CONTROL_MODEL": {
            "NAME": "CSCTuners",
            "PRE_HINT_IN_CHANNELS": 3,
            "PRE_HINT_OUT_CHANNELS": PRE_HINT_OUT,
            "PRE_HINT_DIM_RATIO": PRE_HINT_RATIO,
            "DENSE_HINT_KERNAL": kernel,
            "SCALE": 1.0,
            "SC_TUNER_CFG": {"NAME": "SCTuner", "TUNER_NAME": "SCEAdapter", "DOWN_RATIO": 1.0},
            "INPUT_BLOCK_CHANS": [channels for channels, _ in skips],
            "INPUT_DOWN_FLAG": [stride == 2 for _, stride in skips],
        }
    }


def style_config(channels: Sequence[int]) -> dict:
    """adapter_config.json as ms-swift writes it; channels in output order."""
    return {
        "dims": list(channels),
        "down_ratio": 1.0,
        "hint_modules": None,
        "model_key_mapping": None,
        "swift_type": "SCETuning",
        "target_modules": r"model.lsc_identity\.\d+$",
        "tuner_mode": "identity",
        "tuner_op": "SCEAdapter",
    }


def style_shapes(channels: Sequence[int]) -> Shapes:
    shapes: dict[str, Sequence[int]] = {}
    for m, width in enumerate(channels):
        shapes |= adapter_shapes(f"model.lsc_identity.{m}.scetuner_{ADAPTER}", width)
    return shapes


def fixed(value: dict) -> Build:
    content = (json.dumps(value, indent=1) + "\n").encode()
    return lambda generator: content


def drawn(shapes: Shapes, gains: Gains) -> Build:
    """torch.save's zip; through a buffer, because the archive would otherwise contain the file's name."""

    def build(generator: torch.Generator) -> bytes:
        buffer = io.BytesIO()
        torch.save(random_weights(shapes, gains, generator), buffer)
        return buffer.getvalue()

    return build


def files(model: ModuleType) -> dict[str, Build]:
    """Every file below the models folder, with what makes its bytes."""
    skips = model.skips()
    channels = [width for width, _ in skips]
    style = "scedit/ColoredPencilArt"
    made = {
        "checkpoints/scedit_sandbox.safetensors": lambda generator: checkpoint(model, generator),
        f"{style}/configuration.json": fixed({}),
        f"{style}/{ADAPTER}/adapter_config.json": fixed(style_config(channels[::-1])),
        f"{style}/{ADAPTER}/adapter_model.bin": drawn(style_shapes(channels[::-1]), SC_GAINS),
    }
    for name, kernel in (("canny_control", 3), ("color_control", 1)):
        folder = f"scedit/{name}/{ADAPTER}"
        made[f"{folder}/configuration.json"] = fixed(control_config(skips, kernel))
        made[f"{folder}/pytorch_model.bin"] = drawn(control_shapes(channels, kernel), CSC_GAINS)
    return made


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the sandbox's model files.")
    parser.add_argument("--comfyui", type=Path, required=True, help="ComfyUI's folder")
    parser.add_argument("--out", type=Path, required=True, help="ComfyUI's models folder")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name, build in files(import_model(args.comfyui.resolve())).items():
        path = args.out / name
        if path.exists():
            print(f"kept {path}")
            continue
        # a seed of its own for each file, so that one written again later comes out the same
        content = build(torch.Generator().manual_seed(args.seed + zlib.crc32(name.encode())))
        write(path, content)
        print(f"wrote {path} ({len(content) / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
