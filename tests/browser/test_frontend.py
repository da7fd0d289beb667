"""The bundled workflows, help pages and translations as the frontend gets them, in both of its renderers."""

import json
import os
import re
from pathlib import Path

import pytest
from server_tools import workflow_module
from support import REPOSITORY

PACK = "ComfyUI-SCEdit"
WORKFLOWS = sorted((REPOSITORY / "example_workflows").glob("*.json"))
NODES = sorted(page.stem for page in (REPOSITORY / "web" / "docs").glob("*.md"))
SCREENSHOTS = os.environ.get("SCEDIT_SCREENSHOTS")

OPEN = """async ({graph, vue}) => {
    await app.extensionManager.setting.set("Comfy.VueNodes.Enabled", vue);
    await app.loadGraphData(graph);
    await new Promise(done => setTimeout(done, 500));
    const known = LiteGraph.registered_node_types;
    return {
        unknown: app.graph.nodes.map(node => node.type).filter(name => !(name in known)),
        dialogs: [...document.querySelectorAll("[role=dialog]")].map(dialog => dialog.innerText),
        nodes: app.graph.nodes.length,
        prompt: (await app.graphToPrompt()).output,
    };
}"""


@pytest.mark.parametrize("vue", [False, True], ids=["canvas", "vue"])
@pytest.mark.parametrize("workflow", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_a_workflow_opens_whole_and_would_post_what_the_tests_execute(page, server, workflow, vue):
    graph = json.loads(workflow.read_text(encoding="utf-8"))
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    opened = page.evaluate(OPEN, {"graph": graph, "vue": vue})
    if SCREENSHOTS:
        page.evaluate("app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        page.wait_for_timeout(1000)
        page.screenshot(path=Path(SCREENSHOTS) / f"{workflow.stem}.{'vue' if vue else 'canvas'}.png")
    assert opened["unknown"] == []
    assert opened["dialogs"] == []
    assert errors == []
    assert opened["nodes"] == len(graph["nodes"])
    posted = {node: (entry["class_type"], entry["inputs"]) for node, entry in opened["prompt"].items()}
    converted = workflow_module.to_prompt(graph, server.object_info())
    assert posted == {node: (entry["class_type"], entry["inputs"]) for node, entry in converted.items()}


def get(page, path):
    """Status and text that the frontend gets for a path of the server."""
    return page.evaluate(
        "async path => {const r = await fetch(path); return [r.status, await r.text()]}", path
    )


def test_the_template_browser_lists_all_workflows_with_thumbnails(page):
    status, text = get(page, "/api/workflow_templates")
    assert status == 200
    assert sorted(json.loads(text)[PACK]) == [workflow.stem for workflow in WORKFLOWS]
    for workflow in WORKFLOWS:
        for suffix in (".json", ".jpg"):
            assert get(page, f"/api/workflow_templates/{PACK}/{workflow.stem}{suffix}")[0] == 200


@pytest.mark.parametrize("node", NODES)
def test_every_node_has_its_help_page_in_english_and_chinese(page, node):
    for path in (f"{node}.md", f"{node}/zh.md"):
        status, text = get(page, f"/extensions/{PACK}/docs/{path}")
        assert status == 200
        assert text.startswith("#")


SELECT = """name => {
    app.graph.clear();
    const node = LiteGraph.createNode(name);
    app.graph.add(node);
    node.pos = [300, 300];
    app.canvas.selectNode(node);
}"""
SHOWN = """path => [...document.querySelectorAll("img")].some(
    image => image.src.endsWith(path) && image.naturalWidth > 0 && image.clientWidth > 200
)"""


def test_the_help_panel_shows_the_pictures_of_the_pages(page):
    page.evaluate("app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")
    panel = None
    for node in NODES:
        text = (REPOSITORY / "web" / "docs" / f"{node}.md").read_text(encoding="utf-8")
        for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text):
            page.evaluate(SELECT, node)
            if panel is None:
                panel = page.get_by_test_id("info-button")
                panel.click()
            page.wait_for_function(SHOWN, arg=f"/docs/{path}")
            if SCREENSHOTS:
                page.screenshot(path=Path(SCREENSHOTS) / f"{node}.help.png")
    assert panel is not None


def test_translations_reach_the_frontend(page):
    _, text = get(page, "/api/i18n")
    languages = json.loads(text)
    for language in ("zh", "zh-TW", "ja", "ko"):
        assert set(NODES) <= set(languages[language]["nodeDefs"])
