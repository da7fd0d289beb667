"""The node that puts pictures side by side on one labelled sheet."""

from __future__ import annotations

import logging

from comfy_api.latest import io, ui
from torch import Tensor

from ..scedit_core import SCEditError
from ..scedit_core.annotators.photo import to_photo
from ..scedit_core.errors import listed
from ..scedit_core.pictures.lettering import STAND_IN
from ..scedit_core.pictures.sheet import MOST_COLUMNS, Sheet, compare_sheet
from . import widgets
from .telling import told

_MOST_ROWS = 16
_MOST_LETTERS = 20  # in a sentence
_log = logging.getLogger(__name__)


class SCEditCompareSheet(io.ComfyNode):
    """Puts pictures of any sizes side by side on one sheet, each with its label below it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        row = io.Image.Input("image", tooltip="A picture, or a batch, of which every picture gets a cell.")
        template = io.Autogrow.TemplatePrefix(row, prefix="image", min=0, max=_MOST_ROWS)
        return io.Schema(
            **widgets.about(cls, "Compare Sheet", ""),
            is_output_node=True,
            inputs=[
                io.Autogrow.Input("images", template=template, tooltip="The pictures, in their order."),
                widgets.text(
                    "labels",
                    "",
                    "One line for each picture, in their order, also for each picture of a batch. An empty "
                    "line is no label. Fewer lines than pictures are fine.",
                    multiline=True,
                    **widgets.OPTIONAL,
                ),
                widgets.whole(
                    "columns",
                    0,
                    (0, MOST_COLUMNS),
                    "How many pictures stand side by side. 0: as many as make the sheet nearly square.",
                    **widgets.OPTIONAL,
                ),
                widgets.whole(
                    "cell_size",
                    0,
                    (0, 8192),
                    "Longest side of a picture on the sheet, in pixels. Larger pictures are made smaller, "
                    "none is stretched or grows. 0: each at its own size.",
                    **widgets.OPTIONAL,
                ),
            ],
            outputs=[io.Image.Output(display_name="sheet", tooltip="The sheet, to be saved or shown.")],
        )

    @classmethod
    def execute(
        cls, images: io.Autogrow.Type, labels: str = "", columns: int = 0, cell_size: int = 0
    ) -> io.NodeOutput:
        pictures = _pictures(images)
        lines = [line.strip() for line in labels.splitlines()]
        sheet = compare_sheet(pictures, lines, columns, cell_size)
        image = sheet.picture[None]
        said = told("\n".join([_facts(sheet, len(pictures)), *_notes(sheet, lines, len(pictures))]))
        return io.NodeOutput(image, ui={**ui.PreviewImage(image, cls=cls).as_dict(), **said.as_dict()})


def _pictures(images: io.Autogrow.Type) -> list[Tensor]:
    """All pictures `(3, H, W)`, in the order of their sockets. Raises SCEditError if there is none."""
    pictures: list[Tensor] = []
    for name in (f"image{number}" for number in range(_MOST_ROWS)):
        if not isinstance(images.get(name), Tensor):  # not connected
            continue
        try:
            pictures += to_photo(images[name])
        except SCEditError as error:
            raise SCEditError(f"{name}: {error}") from error
    if not pictures:
        raise SCEditError("there is no picture to show; connect one to image0")
    return pictures


def _facts(sheet: Sheet, count: int) -> str:
    height, width = sheet.picture.shape[:2]
    return f"pictures: {count}, columns: {sheet.columns}, size: {width} x {height}"


def _notes(sheet: Sheet, lines: list[str], count: int) -> list[str]:
    """What a user may not expect, a line each; of letters the log tells too."""
    notes = []
    if any(lines[count:]):
        notes.append(f"note: there are {count} pictures; lines of labels after these are left out")
    if sheet.missing:
        letters = listed(sorted(sheet.missing), _MOST_LETTERS)
        note = (
            f"no font of this computer has {letters}: '{STAND_IN}' stands on the sheet instead; for Chinese, "
            f"Japanese and Korean install Noto Sans CJK"
        )
        _log.warning("SCEdit: %s", note)
        notes.append(f"note: {note}")
    return notes
