"""What a node tells while it runs and at its end; web/js/scedit_text.js writes it on the node."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from comfy_api.latest import ui
from comfy_execution.utils import get_executing_context
from torch import Tensor

from ..scedit_core.annotators.suits import misfit
from .files.hosted import HostedTuners

_log = logging.getLogger(__name__)


def say(text: str, *, is_last: bool = False) -> None:
    """Write a text on the node that runs. What is said last is kept in the saved graph."""
    _send("scedit.text", {"text": text, "is_last": is_last})


def show_pictures(images: Sequence[Any]) -> None:
    """Show saved pictures on the node that runs, in the place of those before."""
    _send("scedit.pictures", {"images": images})


def told(text: str) -> ui.PreviewText:
    """The text with which a node ends, for the `ui` of its output."""
    return ui.PreviewText(text)


def note_misfit(control: HostedTuners, image: Tensor) -> ui.PreviewText | None:
    """Say, in the log and on the node, if an image cannot be a hint of the kind that a control follows."""
    note = misfit(image, control.name, control.metadata)
    if note is None:
        return None
    _log.warning("SCEdit: %s", note)
    return told(f"note: {note}")


def _send(event: str, content: Mapping[str, Any]) -> None:
    from server import PromptServer  # not there where nodes run without a server

    server, running = getattr(PromptServer, "instance", None), get_executing_context()
    if server is None or running is None:
        return
    whose = {"node": running.node_id, "prompt_id": running.prompt_id}
    server.send_sync(event, {**whose, **content}, server.client_id)
