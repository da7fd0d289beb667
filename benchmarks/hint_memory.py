"""Memory that the hints of nets take: what it is, beside what the nodes say it will be.

    python dev.py bench hint_memory [NET ...] [--sizes 512 1024 2048] [--device cuda]

Each line is a process of its own (Linux only, for /proc): a net of full size with random weights looks at one
square photo, and the highest resident memory above that before it is printed, in bytes and per pixel, with
the seconds it took; on a card it is what PyTorch has allocated there. The rules in the annotators (`*_LOOK`)
come from this table on a CPU.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from host_start import Meter, add_device_option

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

NETS = ("hed", "depth", "body", "hands", "face", "segmentation")


def filled(build: Callable[[], Any], weights: dict[str, Any], device: str) -> Any:
    """A net in float32 with these weights."""
    net = build()
    net.load_state_dict(
        {key: weights[key.split(".", 1)[1] if key not in weights else key] for key in net.state_dict()}
    )
    return net.float().eval().requires_grad_(False).to(device)


def measure(name: str, size: int, resolution: int, device: str) -> None:
    """Print one line of the table."""
    import detector_tools as tools
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    look, estimate = looker(name, device)
    photo = tools.scene(size, size) if name not in ("body", "hands", "face") else tools.figure(size, size)
    with torch.inference_mode():
        look(photo[:64, :64].copy(), 64)  # code and libraries are in memory from here on
        meter = Meter(torch.device(device))
        meter.forget_peak()
        before = meter.peak()  # on a card, of the weights
        seconds = meter.seconds(lambda: look(photo, resolution))
        taken = meter.peak() - before
    told = estimate(size, size, resolution)
    print(
        f"{name:13}{size:6}{resolution:6}{taken / 1e6:10.0f} MB{taken / size**2:8.0f} B/pixel, "
        f"told {told / 1e6:6.0f} MB, {seconds:6.1f} s",
        flush=True,
    )


def looker(name: str, device: str) -> tuple[Callable[[Any, int], Any], Callable[[int, int, int], int]]:
    """How a net looks at a photo at a resolution, and what is said to take."""
    import detector_tools as tools

    from scedit_core.annotators.nets import depth, hed, pose, segmentation

    if name == "hed":
        net = filled(tools.ControlNetHED_Apache2, tools.hed_weights(), device)
        return lambda photo, side: hed.hed(photo, net, resolution=side), hed.HED_LOOK.memory
    if name == "depth":
        net = filled(tools.midas, tools.depth_weights(), device)
        return lambda photo, side: depth.depth(photo, net, resolution=side), depth.DEPTH_LOOK.memory
    if name == "segmentation":
        net = filled(tools.upernet, tools.random_weights(tools.upernet), device)
        return (
            lambda photo, side: segmentation.segmentation(photo, net, resolution=side),
            segmentation.SEGMENTATION_LOOK.memory,
        )
    parts = [filled(tools.bodypose_model, tools.body_weights(), device), None, None]
    if name == "hands":
        parts[1] = filled(tools.handpose_model, tools.hand_weights(), device)
    if name == "face":
        parts[2] = filled(tools.FaceNet, tools.random_weights(tools.FaceNet), device)
    people = pose.PoseNet(*parts)
    rule = pose.HANDS_LOOK if name == "hands" else pose.POSE_LOOK
    return lambda photo, side: pose.pose(photo, people, resolution=side), rule.memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*", default=NETS, help=f"of {', '.join(NETS)}")
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 1536, 2048], help="of the photo")
    parser.add_argument("--resolutions", type=int, nargs="+", default=[], help="in place of the photo's own")
    add_device_option(parser)
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.nets[0], *options.one, options.device)
        return
    for net in options.nets:
        for size in options.sizes:
            for resolution in options.resolutions or [size]:
                one = ["--one", str(size), str(resolution), "--device", options.device]
                subprocess.run([sys.executable, __file__, net, *one], check=True)


if __name__ == "__main__":
    main()
