// A list of presets below the text of `skip_weights`: what is chosen there is written into the text, which counts.
import { app } from "../../../scripts/app.js";

const TEXT = "skip_weights";
const LIST = "scedit_preset"; // name of the widget
const FOLD = "scedit_fold"; // of the button that stands last
const WORDS = {
    en: ["skip_weights preset", "none", "own weights"],
    zh: ["跳连权重预设", "无", "自定义权重"],
    "zh-TW": ["跳接權重預設", "無", "自訂權重"],
    ja: ["重みプリセット", "なし", "独自の重み"],
    ko: ["스킵 가중치 프리셋", "없음", "직접 쓴 가중치"],
};

let presets = []; // names, those of the user's own file too; the server tells them with the input

function words() {
    return WORDS[app.extensionManager.setting.get("Comfy.Locale")] ?? WORDS.en;
}

function learn(nodeData) {
    presets = nodeData?.input?.optional?.[TEXT]?.[1]?.scedit_presets ?? presets;
}

function named(node, name) {
    return node.widgets?.find((widget) => widget.name === name);
}

/** Show what the text says: a preset, nothing, or weights of one's own. */
function show(node) {
    const [list, text] = [named(node, LIST), String(named(node, TEXT).value ?? "").trim()];
    const [label, none, own] = words();
    const preset = presets.find((name) => name.toLowerCase() === text.toLowerCase());
    list.label = label;
    list.options.values = [none, ...presets, ...(text && !preset ? [own] : [])];
    list.value = preset ?? (text ? own : none);
}

function choose(node, chosen) {
    const text = named(node, TEXT);
    const [, none, own] = words();
    if (chosen !== own) {
        text.value = chosen === none ? "" : chosen;
        text.callback?.(text.value);
    }
    show(node);
}

function addList(node) {
    const text = named(node, TEXT);
    if (!text) return;
    const list = node.addWidget("combo", LIST, "", (chosen) => choose(node, chosen), { values: [] });
    list.serialize = false; // nor an input: saved graphs and prompts are the same with it and without
    Object.assign(list.options, { serialize: false, advanced: true });
    list.hidden = text.hidden;
    const last = node.widgets.findIndex((widget) => widget.name === FOLD);
    if (last >= 0) node.widgets.splice(last, 0, node.widgets.pop());
    // typed; opened with a graph; put into one, where the page keeps values by the number of a node
    for (const [owner, name] of [[text, "callback"], [node, "onConfigure"], [node, "onAdded"]]) {
        const before = owner[name];
        owner[name] = function (...values) {
            before?.apply(this, values);
            show(node);
        };
    }
    show(node);
    node.setSize([node.size[0], node.computeSize()[1]]);
}

app.registerExtension({
    name: "SCEdit.Presets",
    beforeRegisterNodeDef(nodeType, nodeData) {
        if (nodeData.name.startsWith("SCEdit")) learn(nodeData);
    },
    refreshComboInNodes(nodes) {
        Object.values(nodes).forEach(learn);
        for (const graph of [app.graph, ...(app.graph.subgraphs?.values() ?? [])])
            graph.nodes.filter((node) => named(node, LIST)).forEach(show);
    },
    nodeCreated(node) {
        if (node.comfyClass?.startsWith("SCEdit")) addList(node);
    },
});
