"""What a user does in the frontend, and what is then to be read on the screen."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# Keep the browser from calling home: this machine may have no network, and tests need none.
BROWSER_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_SETTLE = 400  # ms in which the frontend has drawn what it was told, at the latest
# Wait until the page has drawn three frames and not changed for a fifth of a second, or `most` ms.
SETTLED = """async most => {
    const start = performance.now();
    let last = start, frames = 0;
    const changed = () => { last = performance.now(); frames = 0; };
    const observer = new MutationObserver(changed);
    observer.observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
    while (performance.now() - start < most && (frames < 3 || performance.now() - last < 200)) {
        await new Promise(requestAnimationFrame);
        if (app.canvas.dirty_canvas || app.canvas.dirty_bgcanvas) changed();
        else frames++;
    }
    observer.disconnect();
}"""

_READY = """window.app?.extensionManager && window.app.graph && window.LiteGraph
    && Object.keys(LiteGraph.registered_node_types).some(name => name.startsWith("SCEdit"))"""
_OPEN = """async ({graph, vue, isPrompt}) => {
    await app.extensionManager.setting.set("Comfy.VueNodes.Enabled", vue);
    if (isPrompt) await app.loadApiJson(graph, "test");
    else await app.loadGraphData(graph);
}"""
_RUN = """() => {
    const api = window.comfyAPI.api.api;
    window.ended = null;
    for (const kind of ["execution_success", "execution_error", "execution_interrupted"])
        api.addEventListener(kind, event => { window.ended ??= [kind, event.detail]; });
    return app.queuePrompt(0);
}"""
_PLACE = """id => {
    const node = app.graph.getNodeById(id), {scale, offset} = app.canvas.ds;
    const title = LiteGraph.NODE_TITLE_HEIGHT, box = app.canvas.canvas.getBoundingClientRect();
    const shown = document.querySelector(`[data-node-id="${id}"]`)?.getBoundingClientRect();
    const height = Math.max(node.size[1], shown ? shown.height / scale - title : 0);
    return {
        x: box.x + (node.pos[0] + offset[0]) * scale, y: box.y + (node.pos[1] - title + offset[1]) * scale,
        width: node.size[0] * scale, height: (height + title) * scale,
    };
}"""
_LOOK = """id => {
    const nodes = id == null ? app.graph.nodes : [app.graph.getNodeById(id)], {ds} = app.canvas;
    if (!nodes.length) return;
    const [left, right] = [0, 1].map(side => nodes.map(({pos, size}) => pos[0] + side * size[0]));
    const [top, bottom] = [0, 1].map(side => nodes.map(({pos, size}) => pos[1] + side * size[1]));
    const x = [Math.min(...left), Math.max(...right)], y = [Math.min(...top) - 30, Math.max(...bottom)];
    ds.scale = Math.min(1.5, (innerWidth - 160) / (x[1] - x[0]), (innerHeight - 200) / (y[1] - y[0]));
    ds.offset[0] = (innerWidth + 60) / 2 / ds.scale - (x[0] + x[1]) / 2;
    ds.offset[1] = (innerHeight + 60) / 2 / ds.scale - (y[0] + y[1]) / 2;
    app.canvas.setDirty(true, true);
}"""
_BOXES = """() => [...document.querySelectorAll("textarea.scedit-text")]
    .filter(box => box.getClientRects().length && box.checkVisibility())
    .map(box => box.value)"""


def wait_until_ready(page: Any) -> None:
    """Wait until the frontend knows the nodes and has opened its first graph."""
    page.wait_for_function(_READY, timeout=120_000)
    page.wait_for_function("app.graph.nodes.length > 0", timeout=120_000)
    page.wait_for_timeout(1000)


class Screen:
    """The page in one of the frontend's two renderers."""

    def __init__(self, page: Any, server: Any, *, vue: bool) -> None:
        self.page, self.server, self.vue = page, server, vue

    @property
    def name(self) -> str:
        """Of the renderer."""
        return "vue" if self.vue else "canvas"

    def open(self, graph: dict[str, Any]) -> None:
        """Show a workflow, or the nodes of a prompt, whole."""
        is_prompt = "nodes" not in graph
        self._leave()
        self.page.evaluate(_OPEN, {"graph": graph, "vue": self.vue, "isPrompt": is_prompt})
        self.fit()

    def _leave(self) -> None:
        """End what an earlier test may have left running."""
        self.server.interrupt()
        while self.server.is_busy():
            self.page.wait_for_timeout(100)

    def fit(self) -> None:
        """Show all of the graph."""
        self.settle()
        self.page.evaluate(_LOOK, None)
        self.settle()

    def settle(self, most: int = _SETTLE) -> None:
        """Wait until the page stays as it is, or `most` ms."""
        self.page.evaluate(SETTLED, most)

    def look_at(self, node: int) -> None:
        """Show one node, large."""
        self.page.evaluate(_LOOK, node)
        self.settle()

    def reload(self) -> None:
        """Load the page again."""
        self.page.reload()
        wait_until_ready(self.page)

    def start(self) -> None:
        """Press Run."""
        self.page.evaluate(_RUN)

    def wait(self, timeout: float = 60.0) -> str:
        """Wait for the run's end; how it ended."""
        self.page.wait_for_function("window.ended", timeout=timeout * 1000)
        self.settle()
        return self.page.evaluate("window.ended[0]")

    def run(self, timeout: float = 60.0) -> str:
        """Press Run and wait; how it ended."""
        self.start()
        return self.wait(timeout)

    def texts(self) -> list[str]:
        """Texts in the boxes on nodes."""
        return self.page.evaluate(_BOXES)

    def words(self) -> str:
        """Everything that is written on the page, but for what is drawn on a canvas."""
        return self.page.evaluate("document.body.innerText")

    def value(self, node: int, widget: str) -> Any:
        """What a widget holds."""
        find = "([id, name]) => app.graph.getNodeById(id).widgets.find(w => w.name === name)?.value"
        return self.page.evaluate(find, [node, widget])

    def picture(self, node: int | None = None) -> np.ndarray:
        """The page, or where a node is drawn: uint8 (H, W, 3)."""
        clip = {} if node is None else {"clip": self.page.evaluate(_PLACE, node)}
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot(**clip))).convert("RGB"))

    def pictures(self, node: int) -> list[tuple[int, int]]:
        """Sizes (W, H) of the pictures that a node shows."""
        sizes = (
            "id => (app.graph.getNodeById(id).imgs ?? []).map(i => [i.naturalWidth, i.naturalHeight])"
            if not self.vue
            else "id => [...document.querySelectorAll(`[data-node-id='${id}'] img`)]"
            ".filter(i => i.clientWidth).map(i => [i.naturalWidth, i.naturalHeight])"
        )
        return sorted(map(tuple, self.page.evaluate(sizes, node)))

    def wait_for_pictures(self, node: int, count: int = 1, seconds: float = 20) -> list[tuple[int, int]]:
        """The same once there are so many, or when the time is over."""
        deadline = time.monotonic() + seconds
        while len(found := self.pictures(node)) != count and time.monotonic() < deadline:
            self.page.wait_for_timeout(100)
        return found

    def saved(self) -> dict[str, Any]:
        """The graph as the frontend would save it."""
        return json.loads(self.page.evaluate("JSON.stringify(app.graph.serialize())"))

    def save_picture(self, file: Path, node: int | None = None) -> None:
        """Write what is seen to a file."""
        Image.fromarray(self.picture(node)).save(file)


def prompt(**nodes: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A prompt of nodes by number: `prompt(n1=("SCEditTunerInfo", {...}))`; links are ["1", 0]."""
    return {
        name[1:]: {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}
        for name, (kind, inputs) in nodes.items()
    }
