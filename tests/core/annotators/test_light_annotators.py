"""Hints that need no weights: photos of real sizes, drawings, random masks and borders."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from support import REPOSITORY

from scedit_core import SCEditError
from scedit_core.annotators.drawn.canny import canny
from scedit_core.annotators.drawn.color import color
from scedit_core.annotators.drawn.masked_image import masked_image
from scedit_core.annotators.drawn.outpaint import Margins, border_mask, outpaint
from scedit_core.annotators.drawn.random_mask import MASK_STYLES, random_mask
from scedit_core.annotators.drawn.sketch import sketch
from scedit_core.annotators.drawn.thinning import thinned
from scedit_core.annotators.photo import to_drawing, to_photo

SIZES = [(512, 512), (768, 513), (333, 1001)]


def photo(height: int, width: int) -> np.ndarray:
    """The demo's photo at a size."""
    with Image.open(REPOSITORY / "sandbox" / "photo.jpg") as picture:
        return np.array(picture.convert("RGB").resize((width, height)))


@pytest.mark.parametrize("size", SIZES)
def test_hints_of_a_photo_are_opencvs_pixel_for_pixel(size):
    picture = photo(*size)
    assert np.array_equal(canny(picture), np.dstack([cv2.Canny(picture, 100, 200)] * 3))
    small = cv2.resize(picture, (size[1] // 64, size[0] // 64), interpolation=cv2.INTER_CUBIC)
    blocks = cv2.resize(small, size[::-1], interpolation=cv2.INTER_NEAREST)
    assert np.array_equal(color(picture), blocks)
    mask = np.zeros(size, np.uint8)
    cv2.circle(mask, (size[1] // 2, size[0] // 3), 90, 255, -1)
    cut = masked_image(
        torch.from_numpy(picture).movedim(-1, 0)[None], torch.from_numpy(mask / 255)[None, None]
    )
    assert np.array_equal(cut[0].movedim(0, -1).numpy(), cv2.bitwise_and(picture, picture, mask=255 - mask))


def test_mirrored_and_shifted_photos_give_mirrored_and_shifted_hints():
    picture = photo(256, 384)
    assert np.array_equal(color(picture[:, ::-1]), color(picture)[:, ::-1])
    # OpenCV's Canny decides ties from left to right: few pixels differ, none by more than its neighbour
    mirrored, edges = canny(np.ascontiguousarray(picture[:, ::-1]))[:, ::-1], canny(picture)
    near = cv2.dilate(np.ascontiguousarray(mirrored), np.ones((3, 3), np.uint8))
    assert (edges[near == 0] == 255).sum() < 0.01 * (edges == 255).sum()
    assert np.array_equal(canny(picture)[40:-40, 50:-40], canny(picture[:, 10:].copy())[40:-40, 40:-40])


# --- random masks ----------------------------------------------------------------------------------------

# mean and standard deviation of the covered part, of 3000 masks of LaMa's own code at its own sizes
LAMA = {
    "training": (256, 0.352, 0.203),
    "thin": (512, 0.286, 0.132),
    "medium": (512, 0.274, 0.139),
    "thick": (512, 0.267, 0.133),
}


@pytest.mark.parametrize("style", LAMA)
def test_random_masks_cover_as_much_as_lamas(style):
    side, mean, deviation = LAMA[style]
    draw = np.random.default_rng(0)
    covered = [(random_mask(side, side, draw, style) > 0).mean() for _ in range(100)]
    assert np.mean(covered) == pytest.approx(mean, abs=4 * deviation / 10)  # four standard errors
    assert np.std(covered) == pytest.approx(deviation, rel=0.25)
    assert max(covered) <= MASK_STYLES[style].most_area


def test_random_masks_cover_as_much_at_any_size():
    small, large = (
        np.mean([(random_mask(side, side, np.random.default_rng(k)) > 0).mean() for k in range(60)])
        for side in (128, 640)
    )
    assert small == pytest.approx(large, abs=0.03)


def test_half_of_the_training_masks_are_boxes():
    upright = 0
    for seed in range(200):
        mask = random_mask(256, 256, np.random.default_rng(seed))
        upright += len({row.tobytes() for row in mask}) <= 9  # of four boxes
    assert 0.4 < upright / 200 < 0.6


@pytest.mark.parametrize("style", MASK_STYLES)
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (3, 700), (333, 101)])
def test_random_masks_are_black_and_white_repeatable_and_never_empty(style, size):
    for seed in range(2):
        one, again = (random_mask(*size, np.random.default_rng(seed), style) for _ in range(2))
        assert np.array_equal(one, again)
        assert one.shape == size
        assert set(np.unique(one)) <= {0, 255}
        assert one.any() or size == (1, 1)


# --- outpainting -----------------------------------------------------------------------------------------


def test_a_grown_picture_keeps_its_pixels_and_its_border_is_masked():
    image = torch.rand(2, 3, 24, 32)
    margins = Margins(left=8, top=16, right=0, bottom=24)
    grown, mask = outpaint(image, margins, 0.5), border_mask(24, 32, margins)
    assert grown.shape == (2, 3, 64, 40)
    assert mask.shape == (1, 1, 64, 40)
    assert torch.equal(grown[:, :, 16:40, 8:], image)
    assert (mask == 0).sum() == 24 * 32
    assert not mask[:, :, 16:40, 8:].any()
    assert torch.equal(masked_image(grown, mask), outpaint(image, margins, 0.0))


def test_feathering_falls_inside_the_picture_from_grown_sides_only():
    mask = border_mask(6, 9, Margins(left=2), feather=3)[0, 0]
    assert mask[0].tolist() == [1, 1, 0.75, 0.5, 0.25, 0, 0, 0, 0, 0, 0]
    assert torch.equal(mask, mask[:1].expand(6, -1))


# --- sketches --------------------------------------------------------------------------------------------


def drawing(*, light: bool = False, height: int = 480, width: int = 384) -> tuple[np.ndarray, np.ndarray]:
    """A circle and a line of three pixels on unevenly lit, grainy paper; and where they are."""
    lines = np.zeros((height, width), np.uint8)
    cv2.circle(lines, (width // 2, height // 3), width // 4, 255, 3, cv2.LINE_AA)
    cv2.line(lines, (20, height - 20), (width - 20, height - 70), 255, 3, cv2.LINE_AA)
    across, down = np.meshgrid(np.linspace(0.45, 1, width), np.linspace(0.8, 1, height))
    drawn = lines / 255.0
    page = 0.12 + 0.7 * drawn if light else 0.9 - 0.6 * drawn
    grain = np.random.default_rng(0).normal(0, 0.02, page.shape)
    pixels = np.clip((page * across * down + grain) * 255, 0, 255).astype(np.uint8)
    return np.dstack([pixels] * 3), lines > 127


@pytest.mark.parametrize("light", [False, True], ids=["dark on light", "light on dark"])
def test_a_sketch_has_the_drawings_lines_and_nothing_of_the_paper(light):
    page, lines = drawing(light=light)
    hint = sketch(page)
    assert hint.shape == page.shape
    assert set(np.unique(hint)) == {0, 255}
    near = cv2.dilate(lines.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    drawn = hint[..., 0] > 0
    assert drawn[~near].sum() == 0
    reached = cv2.dilate(drawn.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert reached[lines].mean() > 0.98
    told = sketch(page, lines="light on dark" if light else "dark on light")
    assert np.array_equal(told, hint)
    wide = sketch(page, thin=False)[..., 0] > 0
    assert 1.5 * drawn.sum() < wide.sum() < 2 * lines.sum()


def test_a_lower_threshold_finds_fainter_lines():
    page, _ = drawing()
    page = page.copy()
    cv2.line(page, (10, 10), (340, 10), (90, 90, 90), 2)
    counts = [(sketch(page, level) > 0).sum() for level in (0.9, 0.3, 0.1)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_areas_are_drawn_by_their_outline():
    page = np.full((256, 256, 3), 255, np.uint8)
    page[100:150, 60:120] = 0
    hint = sketch(page)[..., 0] > 0
    assert not hint[104:146, 64:116].any()
    assert 180 < hint.sum() < 260  # the rectangle's border has 216 pixels


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_empty_page_has_no_lines(value):
    grain = np.random.default_rng(0).normal(value, 2, (128, 128, 3))
    assert not sketch(np.clip(grain, 0, 255).astype(np.uint8)).any()


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (1, 50), (40, 7)])
def test_sketches_of_tiny_images(size):
    assert sketch(photo(*size)).shape == (*size, 3)


def test_thinning_keeps_lines_whole():
    marks = np.zeros((60, 80), np.uint8)
    cv2.line(marks, (5, 5), (70, 50), 1, 7)
    cv2.circle(marks, (40, 30), 20, 1, 4)
    thin = thinned(marks)
    assert thin.sum() < marks.sum() / 3
    assert (thin <= marks).all()
    count = [cv2.connectedComponents(m, connectivity=8)[0] for m in (marks, thin)]
    assert count[0] == count[1]
    assert np.array_equal(thinned(thin), thin)


CLOCKWISE = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]


def thinned_pixel_by_pixel(marks: np.ndarray) -> np.ndarray:
    """Zhang and Suen's rule as their paper has it."""
    marks = np.pad(marks, 1)
    before = None
    while before is None or not np.array_equal(marks, before):
        before = marks.copy()
        for first in (True, False):
            seen = marks.copy()
            for y, x in np.argwhere(seen):
                around = [int(seen[y + down, x + right]) for down, right in CLOCKWISE]
                above, right, below, left = around[::2]
                steps_up = sum(a < b for a, b in zip(around, [*around[1:], above], strict=True))
                gaps = (above * right * below, right * below * left)
                if not first:
                    gaps = (above * right * left, above * below * left)
                if 2 <= sum(around) <= 6 and steps_up == 1 and gaps == (0, 0):
                    marks[y, x] = 0
    return marks[1:-1, 1:-1]


def test_thinning_follows_the_rule_of_its_paper():
    draw = np.random.default_rng(0)
    for number in range(40):
        marks = (draw.random(draw.integers(1, 20, 2)) < draw.random()).astype(np.uint8)
        if number % 3:  # thick shapes too, which take many rounds
            marks = cv2.dilate(marks, np.ones((number % 3 * 2 + 1,) * 2)).reshape(marks.shape)
        before = marks.copy()
        assert np.array_equal(thinned(marks), thinned_pixel_by_pixel(marks))
        assert np.array_equal(marks, before)


# --- channels --------------------------------------------------------------------------------------------


def test_transparent_parts_of_a_photo_are_white_and_opaque_ones_untouched():
    image = torch.rand(2, 5, 7, 4)
    image[..., 3] = 1
    assert torch.equal(to_photo(image), image[..., :3].movedim(-1, 1))
    image[:, 2:, :, 3] = 0
    assert (to_photo(image)[:, :, 2:] == 1).all()


@pytest.mark.parametrize(("ink", "paper"), [(0.0, 1.0), (0.9, 0.0)])
def test_a_transparent_drawing_is_put_on_paper_that_shows_its_lines(ink, paper):
    image = torch.full((1, 8, 8, 4), ink)
    image[..., 3] = 0
    image[:, 3, :, 3] = 1
    for drawn in (to_drawing(image), to_drawing(image[..., :3], 1 - image[..., 3][:, None])):
        assert (drawn[:, :, 3] == ink).all()
        assert (drawn[:, :, 4:] == paper).all()


BAD = {
    "unknown style": (lambda: random_mask(8, 8, np.random.default_rng(0), "fat"), ["training", "'fat'"]),
    "no size": (lambda: random_mask(0, 8, np.random.default_rng(0)), ["at least one pixel", "8 x 0"]),
    "shrinking": (lambda: Margins(left=-8), ["0 pixels or more", "-8, 0, 0, 0", "crop"]),
    "unknown lines": (lambda: sketch(photo(8, 8), lines="red"), ["dark on light", "'red'"]),
    "threshold 0": (lambda: sketch(photo(8, 8), threshold=0), ["above 0", "got 0"]),
    "threshold NaN": (lambda: sketch(photo(8, 8), threshold=float("nan")), ["above 0", "nan"]),
}


@pytest.mark.parametrize(("act", "words"), BAD.values(), ids=BAD.keys())
def test_bad_settings_are_refused_in_one_sentence(act, words):
    with pytest.raises(SCEditError) as caught:
        act()
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)
