// The pad of 'Mix Conditions': shows the line of weights as a place among the conditions, and moves it.
import { app } from "../../../scripts/app.js";
import { set } from "./scedit_elements.js";
import { Bars } from "./scedit_pad_bars.js";
import { addLook, heightOf, words } from "./scedit_pad_look.js";
import { Shape } from "./scedit_pad_shape.js";
import { rowsOf } from "./scedit_rows.js";
import {
    activeOf, cornersOf, inThousandths, nearestInside, placeOf, readWeights, sharesAt, shown, writeWeights,
} from "./scedit_weights.js";

const NODE = "SCEditMixConditions";
const PAD = "scedit_pad"; // name of the widget
const WATCH = 200; // ms between looks at what is connected and written: links, names and texts have no one event
const MARGINS = 20; // that the canvas keeps around a widget
const WIDTH = 330;

class Pad {
    constructor(node) {
        this.node = node;
        this.element = document.createElement("div");
        this.element.addEventListener("wheel", (event) => {
            if (LiteGraph.vueNodesMode) return;
            event.preventDefault();
            app.canvas.processMouseWheel(event);
        });
        this.seen = null; // what was last drawn
        this.moved = null; // {text, place}: where the handle was put, which a text of thousandths only nearly says
        this.refresh();
    }

    get widget() {
        return this.node.widgets.find(({ name }) => name === "weights");
    }

    get isFixed() {
        return this.node.inputs?.some(({ widget, link }) => widget?.name === "weights" && link != null) ?? false;
    }

    get height() {
        return heightOf(rowsOf(this.node).length);
    }

    /** Look at what is there now, if the node is in the graph that is seen. */
    look() {
        const { id } = this.node;
        if (app.canvas.graph?.getNodeById(id) !== this.node) return;
        if (!this.element.isConnected) {
            // Nodes 2.0 leaves what a node of this number had when another takes its place, as undo has it do
            document.querySelector(`[data-node-id="${id}"] .scedit-pad`)?.replaceWith(this.element);
        }
        if (this.element.isConnected) this.refresh();
    }

    /** Draw again what has changed: all of it if other rows are there, else the weights. */
    refresh() {
        const rows = rowsOf(this.node);
        const text = String(this.widget.value ?? "");
        const built = JSON.stringify([rows, words().empty, this.isFixed]);
        if (built !== this.seen?.built) this.build(rows);
        else if (text === this.seen.text) return;
        this.seen = { built, text };
        this.draw(text);
    }

    build(rows) {
        this.rows = rows;
        const kind = rows.length > 2 ? "polygon" : "line";
        this.element.className = `scedit-pad ${kind}${this.isFixed ? " fixed" : ""}`;
        set(this.element, { role: "group", "aria-label": words().mix, "aria-disabled": this.isFixed });
        this.element.replaceChildren();
        this.shape = rows.length > 1 ? new Shape(this.element, rows, this.isFixed, this) : null;
        this.bars = new Bars(this.element, rows, this.isFixed, this);
        this.element.style.minHeight = `${this.height}px`;
        const [width, height] = this.node.computeSize();
        if (this.node.size[0] < width || this.node.size[1] < height)
            this.node.setSize([Math.max(this.node.size[0], width), Math.max(this.node.size[1], height)]);
        this.node.setDirtyCanvas(true, true);
    }

    /** Rows of the text for all that is connected, and for what else it has. */
    read(text = String(this.widget.value ?? "")) {
        const rows = readWeights(text);
        const count = Math.max(rows?.length ?? 0, ...this.rows.map(({ number }) => number + 1));
        return Array.from({ length: count }, (_, k) => rows?.[k] ?? { weight: 1, isOn: true });
    }

    draw(text) {
        const read = this.read(text);
        const weights = this.rows.map(({ number }) => read[number]);
        this.bars.draw(weights, this.said(weights, text));
        this.shape?.draw(weights, this.moved?.text === text ? this.moved.place : this.placeOf(weights));
    }

    said(weights, text) {
        const { empty, linked, unread } = words();
        if (!weights.length) return empty;
        if (this.isFixed) return linked;
        const total = weights.reduce((sum, { weight, isOn }) => sum + (isOn ? weight : 0), 0);
        return readWeights(text) ? `Σα = ${shown(total)}` : unread;
    }

    placeOf(weights) {
        const active = activeOf(weights);
        if (!active.length) return [0, 0];
        const corners = cornersOf(weights.length);
        return placeOf(active.map((k) => weights[k].weight), active.map((k) => corners[k]));
    }

    write(rows, place = null) {
        const text = writeWeights(rows);
        this.moved = place && { text, place };
        this.widget.value = text;
        this.widget.callback?.(text);
        this.refresh();
        this.node.setDirtyCanvas(true, true);
    }

    /** Let the frontend know that the graph has changed: one step to undo. */
    keep() {
        const tracker = app.extensionManager.workflow?.activeWorkflow?.changeTracker;
        (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
    }

    change(number, how) {
        if (this.isFixed) return;
        const rows = this.read();
        rows[number] = how(rows[number]);
        this.write(rows);
    }

    /** Put the handle to a place, or to the nearest that there is, and the weights to its shares. */
    moveTo(place) {
        const read = this.read();
        const active = activeOf(this.rows.map(({ number }) => read[number]));
        if (this.isFixed || !active.length) return;
        const all = cornersOf(this.rows.length);
        const corners = active.map((k) => all[k]);
        const inside = nearestInside(place, corners);
        inThousandths(sharesAt(inside, corners)).forEach((weight, k) => {
            read[this.rows[active[k]].number] = { weight, isOn: true };
        });
        this.write(read, inside);
    }

    moveToMiddle() {
        const read = this.read();
        this.moveTo(this.placeOf(this.rows.map(({ number }) => ({ ...read[number], weight: 1 }))));
    }
}

const pads = new Set();

function addPad(node) {
    const pad = new Pad(node);
    const widget = node.addDOMWidget(PAD, PAD, pad.element, {
        getMinHeight: () => pad.height + MARGINS,
        getMaxHeight: () => pad.height + MARGINS,
        hideOnZoom: false,
        serialize: false, // not an input: prompts are the same with it and without
    });
    widget.serialize = false; // nor one of the saved widgets
    pads.add(pad);
    const removed = node.onRemoved;
    node.onRemoved = function (...values) {
        pads.delete(pad);
        return removed?.apply(this, values);
    };
    node.setSize([Math.max(WIDTH, node.size[0]), Math.max(node.size[1], node.computeSize()[1])]);
}

app.registerExtension({
    name: "SCEdit.Pad",
    setup() {
        addLook();
        setInterval(() => pads.forEach((pad) => pad.look()), WATCH);
    },
    nodeCreated(node) {
        if (node.comfyClass === NODE) addPad(node);
    },
});
