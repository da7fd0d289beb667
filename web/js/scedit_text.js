// What a node of this pack says stands on the node itself, in a box that can be read, scrolled and copied.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const KEPT = "scedit_text"; // property of the node in which the text is saved with the graph
const BOX = "scedit_text"; // name of the widget
const LINE = 16; // pixels
const MOST_LINES = 9; // more than that scroll
const LETTER = 6.1; // width of a letter in the font of text boxes, pixels
const MARGINS = 34; // of a box and a scroll bar in its node

/** How many lines a text takes in a box of this width; wide scripts take two letters' room. */
function linesOf(text, width) {
    const most = Math.max(10, Math.floor(width / LETTER));
    const lengthOf = (line) => [...line].reduce((sum, sign) => sum + (sign > "\u2e7f" ? 2 : 1), 0);
    return text.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil(lengthOf(line) / most)), 0);
}

function makeElement() {
    const element = document.createElement("textarea");
    element.className = "comfy-multiline-input scedit-text";
    element.readOnly = true;
    element.spellcheck = false;
    element.dataset.captureWheel = "true";
    element.style.cssText = `line-height: ${LINE}px; resize: none; user-select: text; cursor: text`;
    element.addEventListener("wheel", (event) => {
        // a box with more than it shows scrolls; anything else is the canvas's, as over any part of a node
        if (!event.ctrlKey && element.scrollHeight > element.clientHeight + 1) event.stopPropagation();
        else if (!LiteGraph.vueNodesMode) {
            event.preventDefault();
            app.canvas.processMouseWheel(event);
        }
    });
    return element;
}

/** The box of a node, made when there is first something to say: a fresh node has none. */
function boxOf(node) {
    const found = node.widgets?.find((widget) => widget.name === BOX);
    if (found) return found;
    const element = makeElement();
    const lines = () => Math.max(2, linesOf(element.value, node.size[0] - MARGINS));
    const heightOf = (count) => count * LINE + 26; // with the margins that the canvas takes off
    const box = node.addDOMWidget(BOX, "scedit_text", element, {
        getValue: () => element.value,
        setValue: (text) => {
            element.value = text ?? "";
        },
        getMinHeight: () => heightOf(Math.min(MOST_LINES, lines())),
        getMaxHeight: () => heightOf(lines() + 1), // what is left of the node is its pictures'
        hideOnZoom: false,
        serialize: false, // not an input: prompts are the same with it and without
    });
    box.serialize = false; // nor one of the saved widgets: graphs stay readable without this script
    return box;
}

function show(node, text) {
    const box = boxOf(node);
    box.value = text;
    box.element.style.minHeight = `${box.options.getMinHeight() - 20}px`;
    box.element.style.maxHeight = `${box.options.getMaxHeight()}px`;
    const [width, height] = node.computeSize();
    if (node.size[0] < width || node.size[1] < height)
        node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
    node.setDirtyCanvas(true, true);
}

/** Show what is to stay, and let the frontend know that the graph has changed, so that it is kept. */
function keep(node, text) {
    const isNew = node.properties[KEPT] !== text;
    node.properties[KEPT] = text;
    show(node, text);
    const tracker = app.extensionManager.workflow?.activeWorkflow?.changeTracker;
    if (isNew) (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
}

function remove(node) {
    const box = node.widgets?.find((widget) => widget.name === BOX);
    if (!box) return;
    box.onRemove?.();
    node.widgets.splice(node.widgets.indexOf(box), 1);
    node.setDirtyCanvas(true, true);
}

/** An error stands where it arose until the next run; what was there before comes back then. */
const failed = new Set();

function fail(node, sentence) {
    failed.add(node);
    show(node, sentence);
}

/** What the server says of inputs that it refuses; the page itself shows it only behind a small sign. */
function tellRefused(answer) {
    for (const [id, { errors }] of Object.entries(answer?.node_errors ?? {})) {
        const node = nodeOf(id);
        const said = errors.filter((error) => error.type === "custom_validation_failed");
        if (node && said.length) fail(node, said.map((error) => error.details.replace(/^\w+ - /, "")).join("\n"));
    }
}

function watchPrompts() {
    const queuePrompt = api.queuePrompt;
    api.queuePrompt = async function (...values) {
        forgetErrors();
        try {
            const answer = await queuePrompt.apply(this, values);
            tellRefused(answer);
            return answer;
        } catch (error) {
            tellRefused(error.response);
            throw error;
        }
    };
}

function forgetErrors() {
    for (const node of failed) {
        if (node.properties[KEPT]) show(node, node.properties[KEPT]);
        else remove(node);
    }
    failed.clear();
}

/** The node that the server calls so: in subgraphs, the ids of all nodes around it come first. */
function nodeOf(executionId) {
    let graph = app.rootGraph ?? app.graph;
    let node = null;
    for (const id of String(executionId).split(":")) {
        node = graph?.getNodeById(/^\d+$/.test(id) ? Number(id) : id);
        graph = node?.subgraph;
    }
    return node?.comfyClass?.startsWith("SCEdit") ? node : null;
}

function chain(prototype, name, further) {
    const before = prototype[name];
    prototype[name] = function (...values) {
        const result = before?.apply(this, values);
        further.apply(this, values);
        return result;
    };
}

app.registerExtension({
    name: "SCEdit.Text",
    setup() {
        api.addEventListener("scedit.text", ({ detail }) => {
            const node = nodeOf(detail.node);
            if (node) (detail.is_last ? keep : show)(node, detail.text);
        });
        watchPrompts();
        api.addEventListener("execution_error", ({ detail }) => {
            const node = nodeOf(detail.node_id);
            if (node && detail.exception_type === "SCEditError") fail(node, detail.exception_message.trim());
        });
        // pictures of a run that goes on: shown as those of its end are
        api.addEventListener("scedit.pictures", ({ detail }) => {
            api.dispatchCustomEvent("executed", {
                node: detail.node,
                display_node: detail.node,
                prompt_id: detail.prompt_id,
                output: { images: detail.images },
            });
        });
    },
    beforeRegisterNodeDef(nodeType, nodeData) {
        if (!nodeData.name.startsWith("SCEdit")) return;
        chain(nodeType.prototype, "onExecuted", function (output) {
            const text = output?.text;
            if (text?.length) keep(this, Array.isArray(text) ? text.join("\n\n") : text);
        });
        chain(nodeType.prototype, "onConfigure", function (saved) {
            if (saved.properties?.[KEPT]) show(this, saved.properties[KEPT]);
        });
    },
});
