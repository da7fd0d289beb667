// What is connected to the growing sockets of 'Mix Conditions': names and pictures for its pad.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const SOCKET = /^conditions\.condition(\d+)$/;

/** Rows {number, name, picture} in the order of their sockets; of the picture its address, or null. */
export function rowsOf(node) {
    const rows = [];
    for (const [slot, { name, link }] of (node.inputs ?? []).entries()) {
        const number = SOCKET.exec(name)?.[1];
        if (number === undefined || link == null) continue;
        const source = node.getInputNode(slot);
        rows.push({ number: Number(number), name: nameOf(source, number), picture: pictureOf(source) });
    }
    return rows.sort((a, b) => a.number - b.number);
}

function behind(node, input) {
    const slot = node?.inputs?.findIndex(({ name }) => name === input) ?? -1;
    return slot < 0 ? null : node.getInputNode(slot);
}

/** As its user has called it, else its control's file, else the node or the socket. */
function nameOf(source, number) {
    if (!source) return `condition${number}`; // it comes from outside of a subgraph
    if (source.title && source.title !== source.constructor.title && source.title !== source.comfyClass)
        return source.title;
    const tuner = behind(source, "control")?.widgets?.find(({ name }) => name === "tuner_name")?.value;
    if (!tuner) return source.title || `condition${number}`;
    return String(tuner).split(/[\\/]/).pop().replace(/\.(safetensors|bin|pth?)$/i, "");
}

/** The hint as the node before the condition shows it, if it does. */
function pictureOf(source) {
    const shower = behind(source, "image");
    if (!shower) return null;
    const id = shower.graph.isRootGraph ? String(shower.id) : `${shower.graph.id}:${shower.id}`;
    const file = app.nodeOutputs?.[id]?.images?.[0];
    if (!file?.filename) return null;
    const { filename, subfolder = "", type = "output" } = file;
    return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}
