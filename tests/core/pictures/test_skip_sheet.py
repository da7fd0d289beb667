"""Figures of a skip analysis, and the sheet that shows them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scedit_core.pictures.skip_sheet import Bars, Decoded, draw_skip_sheet
from scedit_core.skip_figures import densities, energy, moved, variance

NAN = float("nan")


def test_variance_is_that_of_the_finite_values():
    values = torch.tensor([1.0, 3.0, NAN, float("inf")]).half()
    assert variance(values) == 1.0
    assert np.isnan(variance(torch.full((3,), NAN)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_moved_is_the_distance_in_parts_of_the_plain_picture(dtype):
    plain = torch.tensor([3.0, 4.0], dtype=dtype)
    assert moved(plain, plain) == 0.0
    assert moved(plain + torch.tensor([0.0, 2.5], dtype=dtype), plain) == 0.5
    assert np.isnan(moved(torch.full_like(plain, NAN), plain))


def test_moved_of_half_precision_does_not_overflow():
    plain = torch.full((1000,), 60_000.0).half()
    assert moved(-plain, plain) == 2.0


def test_densities_share_a_range_and_have_an_area_of_one():
    wide = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    low, high, shares = densities([wide, wide / 10, torch.full((3,), NAN)])
    assert (low, high) == pytest.approx((-2.58, 2.58), abs=0.1)
    width = (high - low) / len(shares[0])
    assert [float(share.sum()) * width for share in shares] == pytest.approx([0.99, 1.0, 0.0], abs=0.002)


@pytest.mark.parametrize("values", [torch.zeros(5), torch.full((5,), NAN), torch.full((2,), 1e30)])
def test_values_without_a_range_have_densities_too(values):
    low, high, shares = densities([values])
    assert low < high
    assert np.isfinite(shares[0]).all()


def test_energy_is_the_root_of_the_mean_square_over_channels():
    features = torch.tensor([3.0, -4.0])[:, None, None].expand(2, 2, 3)
    assert energy(features).tolist() == [[np.float32(12.5**0.5)] * 3] * 2


def ways(*, height: int = 4, fill: float | None = None) -> list[Decoded]:
    """Three ways with outputs of three blocks."""
    generator = torch.Generator().manual_seed(0)
    drawn = {
        block: torch.randn(8, height << (block // 2), 6 << (block // 2), generator=generator)
        for block in (2, 4, 5)
    }
    filled = {b: each if fill is None else torch.full_like(each, fill) for b, each in drawn.items()}
    return [Decoded("all skips", drawn), Decoded("half removed", filled), Decoded("all removed", filled)]


@pytest.mark.parametrize("fill", [None, 0.0, NAN, float("inf"), 1e30])
@pytest.mark.parametrize("height", [1, 4, 40])
def test_a_sheet_is_drawn_of_whatever_comes(height, fill):
    bars = [
        Bars("skips", "output block", range(6), [0.1, 0.0, NAN, float("inf"), 1e30, 1e-9]),
        Bars("edit 1 '水彩'", "output block", (3,), [0.0]),
        Bars("edit", "output block", (), []),
    ]
    sheet = draw_skip_sheet("a title", ways(height=height, fill=fill), bars)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (36 + 3 * 432, 2 * 768, 3)


def test_bars_are_as_high_as_their_shares():
    def blue(shares: list[float]) -> list[int]:
        bars = Bars("skips", "output block", range(len(shares)), shares)
        panel = draw_skip_sheet("", ways(), [bars])[36 + 432 :, :768].astype(int)
        columns = (np.abs(panel - (30, 90, 200)).sum(-1) == 0).sum(0)
        places = 72 + (768 - 24 - 72) * np.arange(1, len(shares) + 1) / (len(shares) + 1)
        return [int(columns[round(place) - 20]) for place in places]

    full, half, none = blue([0.5, 0.25, 0.0])
    assert full > 200
    assert half == pytest.approx(full / 2, abs=2)
    assert none <= 1
