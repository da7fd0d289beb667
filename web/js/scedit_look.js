// Colours of the pack's own sockets, nodes as wide as their titles, and a fold for advanced inputs on the canvas.
import { app } from "../../../scripts/app.js";

const COLORS = { SCEDIT_TUNER: "#e0a458", SCEDIT_CONTROL: "#4fb6a8", SCEDIT_CONDITION: "#b48ae0", SCEDIT_DATASET: "#7fa8d8" };
const FOLD = "scedit_fold"; // name of the button
const OPENED = "scedit_advanced"; // property of a node whose advanced inputs are shown
const WORDS = {
    en: ["Show advanced inputs", "Hide advanced inputs"],
    zh: ["显示高级输入", "隐藏高级输入"],
    "zh-TW": ["顯示進階輸入", "隱藏進階輸入"],
    ja: ["詳細な入力を表示", "詳細な入力を隠す"],
    ko: ["고급 입력 표시", "고급 입력 숨기기"],
};

function isOurs(node) {
    return Boolean(node.comfyClass?.startsWith("SCEdit"));
}

/** Colour a type where a theme gives it none; themes write '' for the types that they do not know. */
function paint(colors, type, color) {
    let given = colors[type];
    Object.defineProperty(colors, type, {
        get: () => given || color,
        set: (value) => {
            given = value;
        },
        enumerable: true,
        configurable: true,
    });
}

function paintSockets() {
    const sheet = document.createElement("style");
    const rules = Object.entries(COLORS).map(([type, color]) => `--color-datatype-${type}: ${color};`);
    sheet.textContent = `:root { ${rules.join(" ")} }`;
    document.head.append(sheet);
    for (const [type, color] of Object.entries(COLORS)) {
        paint(app.canvas.default_connection_color_byType, type, color);
        paint(LGraphCanvas.link_type_colors, type, color);
    }
}

/** As wide as the canvas needs for the title in full: it keeps a title's height free on both sides. */
function widen(node) {
    const context = app.canvas?.ctx;
    if (!context) return; // nothing is drawn yet
    context.save();
    context.font = node.titleFontStyle;
    const width = Math.ceil(context.measureText(node.title).width) + 2 * LiteGraph.NODE_TITLE_HEIGHT + 4;
    context.restore();
    if (node.size[0] < width) node.setSize([width, node.size[1]]);
}

function words(isOpen) {
    const [show, hide] = WORDS[app.extensionManager.setting.get("Comfy.Locale")] ?? WORDS.en;
    return isOpen ? hide : show;
}

/** Hide advanced widgets or show them; those that a link leads to stay. Nodes 2.0 folds by itself what is not hidden. */
function fold(node, button) {
    const isOpen = Boolean(node.properties[OPENED]) || Boolean(LiteGraph.vueNodesMode);
    for (const widget of node.widgets) {
        const isLinked = node.inputs?.some((input) => input.widget?.name === widget.name && input.link != null);
        if (widget.options?.advanced) widget.hidden = !isOpen && !isLinked;
    }
    button.label = words(Boolean(node.properties[OPENED]));
    node.setDirtyCanvas(true, true);
}

/** Fold all nodes anew when the renderer was changed; the page knows of it a moment after its setting. */
function foldAll() {
    for (const graph of [app.graph, ...(app.graph.subgraphs?.values() ?? [])])
        for (const node of graph.nodes) {
            const button = isOurs(node) && node.widgets?.find((widget) => widget.name === FOLD);
            if (button) fold(node, button);
        }
}

function addFold(node) {
    if (!node.widgets?.some((widget) => widget.options?.advanced)) return;
    const button = node.addWidget("button", FOLD, null, () => {
        node.properties[OPENED] = !node.properties[OPENED];
        const before = node.computeSize()[1];
        fold(node, button);
        node.setSize([node.size[0], node.size[1] + node.computeSize()[1] - before]);
    });
    button.serialize = false;
    Object.assign(button.options, { serialize: false, canvasOnly: true });
    const configured = node.onConfigure;
    node.onConfigure = function (...values) {
        configured?.apply(this, values);
        fold(this, button);
    };
    fold(node, button);
    node.setSize([node.size[0], node.computeSize()[1]]);
}

app.registerExtension({
    name: "SCEdit.Look",
    setup() {
        paintSockets();
        app.ui.settings.addEventListener("Comfy.VueNodes.Enabled.change", () => setTimeout(foldAll, 100));
    },
    nodeCreated(node) {
        if (!isOurs(node)) return;
        addFold(node);
        widen(node);
    },
});
