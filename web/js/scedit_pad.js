// The pad of 'Mix Conditions': shows the line of weights as a place among the conditions, and moves it.
import { app } from "../../../scripts/app.js";
import { rowsOf } from "./scedit_rows.js";
import {
    cornersOf, inThousandths, nearestInside, placeOf, readWeights, sharesAt, shown, writeWeights,
} from "./scedit_weights.js";

const NODE = "SCEditMixConditions";
const PAD = "scedit_pad"; // name of the widget
const WATCH = 200; // ms between looks at what is connected and written: links, names and texts have no one event
const [ROW, SUM, SLIDER, POLYGON] = [30, 20, 46, 156]; // heights in pixels
const MARGINS = 20; // that the canvas keeps around a widget
const WIDTH = 330;
const STEP = { false: 0.02, true: 0.1 }; // of an arrow key on the pad, and with Shift
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const GROWS = { ArrowLeft: -0.01, ArrowDown: -0.01, ArrowRight: 0.01, ArrowUp: 0.01, PageDown: -0.1, PageUp: 0.1 };
const WORDS = {
    en: ["Connect conditions to mix them", "Mix", "Weight", "On", "set over a link", "weights cannot be read"],
    zh: ["连接控制条件即可混合", "混合", "权重", "启用", "由连线设定", "无法读取权重"],
    "zh-TW": ["連接控制條件即可混合", "混合", "權重", "啟用", "由連線設定", "無法讀取權重"],
    ja: ["条件を接続するとミックスできます", "ミックス", "重み", "オン", "リンクで設定", "重みを読み取れません"],
    ko: ["조건을 연결하면 섞을 수 있습니다", "믹스", "가중치", "켜짐", "링크로 설정됨", "가중치를 읽을 수 없음"],
};
const LOOK = `
.scedit-pad { display: grid; box-sizing: border-box; gap: 0 10px; align-content: start; overflow: hidden;
    color: var(--input-text); font: 11px/14px sans-serif; user-select: none; }
.scedit-pad.polygon { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
.scedit-pad svg { display: block; width: 100%; touch-action: none; overflow: visible; cursor: crosshair; }
.scedit-pad.fixed svg, .scedit-pad.fixed .bar { cursor: default; }
.scedit-pad.fixed :is(svg, .bars) { opacity: 0.6; }
.scedit-pad .shape { fill: var(--comfy-input-bg); stroke: var(--descrip-text); }
.scedit-pad .room { fill: none; stroke: var(--input-text); stroke-opacity: 0.6; }
.scedit-pad .ray { stroke: var(--color); stroke-opacity: 0.7; }
.scedit-pad .dot { fill: var(--color); stroke: var(--color); }
.scedit-pad .dot + text { fill: #fff; text-anchor: middle; dominant-baseline: central; pointer-events: none; }
.scedit-pad .off .dot { fill: var(--comfy-input-bg); }
.scedit-pad .off .dot + text { fill: var(--descrip-text); }
.scedit-pad .off image { opacity: 0.35; }
.scedit-pad .handle { fill: #fff; stroke: #222; cursor: grab; }
.scedit-pad .row { display: grid; grid-template: 18px 12px / 18px 1fr auto; column-gap: 6px; align-items: center; }
.scedit-pad button { width: 16px; height: 16px; padding: 0; border: 1px solid var(--color); border-radius: 50%;
    background: var(--color); color: #fff; font: 10px/14px sans-serif; cursor: pointer; }
.scedit-pad .off button { background: transparent; color: var(--descrip-text); }
.scedit-pad .name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.scedit-pad .off :is(.name, .weight) { color: var(--descrip-text); text-decoration: line-through; }
.scedit-pad .bar { grid-column: 1 / -1; height: 10px; cursor: ew-resize; touch-action: none; }
.scedit-pad .bar::before { content: ""; display: block; position: relative; top: 2px; height: 6px;
    border-radius: 3px; background: linear-gradient(90deg, var(--fill) var(--part), var(--track) var(--part)); }
.scedit-pad .row { --fill: var(--color); --track: color-mix(in srgb, var(--descrip-text) 30%, transparent); }
.scedit-pad .off { --fill: var(--descrip-text); }
.scedit-pad :focus { outline: none; }
.scedit-pad :is(button, .bar):focus-visible { outline: 2px solid var(--input-text); outline-offset: 1px; }
.scedit-pad .handle:focus { stroke: var(--input-text); stroke-width: 0.05; }
.scedit-pad .sum { color: var(--descrip-text); line-height: 20px; }`;

function words() {
    return WORDS[app.extensionManager.setting.get("Comfy.Locale")] ?? WORDS.en;
}

function colorOf(number) {
    return `hsl(${(205 + number * 137.5) % 360} 60% 48%)`;
}

/** An element with attributes; one of SVG if its parent is. */
function add(parent, tag, attributes = {}, text = "") {
    const isDrawn = tag === "svg" || parent.namespaceURI === "http://www.w3.org/2000/svg";
    const element = isDrawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    set(element, attributes);
    element.textContent = text;
    parent.append(element);
    return element;
}

function set(element, attributes) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}

/** Have an element follow the pointer while its first button is down; the canvas gets nothing of it. */
function follow(element, move, end) {
    let isDown = false;
    element.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return; // the others move the canvas
        event.preventDefault(); // the focus goes where `move` puts it
        event.stopPropagation();
        element.setPointerCapture(event.pointerId);
        isDown = true;
        move(event);
    });
    element.addEventListener("pointermove", (event) => {
        if (!isDown) return;
        event.stopPropagation();
        move(event);
    });
    element.addEventListener("lostpointercapture", () => {
        isDown = false;
        end();
    });
}

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
        const count = rowsOf(this.node).length;
        if (count === 0) return SUM;
        const bars = count * ROW + SUM;
        return count > 2 ? Math.max(POLYGON, bars) : count === 2 ? SLIDER + bars : bars;
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
        const built = JSON.stringify([rows, words()[0], this.isFixed]);
        if (built !== this.seen?.built) this.build(rows);
        else if (text === this.seen.text) return;
        this.seen = { built, text };
        this.draw(text);
    }

    build(rows) {
        this.rows = rows;
        this.corners = cornersOf(rows.length);
        const kind = rows.length > 2 ? "polygon" : "line";
        this.element.className = `scedit-pad ${kind}${this.isFixed ? " fixed" : ""}`;
        set(this.element, { role: "group", "aria-label": words()[1], "aria-disabled": this.isFixed });
        this.element.replaceChildren();
        this.shape = rows.length > 1 ? this.buildShape() : null;
        const bars = add(this.element, "div", { class: "bars" });
        this.bars = rows.map((row) => this.buildBar(bars, row));
        this.sum = add(bars, "div", { class: "sum" });
        this.element.style.minHeight = `${this.height}px`;
        const [width, height] = this.node.computeSize();
        if (this.node.size[0] < width || this.node.size[1] < height)
            this.node.setSize([Math.max(this.node.size[0], width), Math.max(this.node.size[1], height)]);
        this.node.setDirtyCanvas(true, true);
    }

    buildShape() {
        const isLine = this.rows.length === 2;
        const [x, y, size] = isLine ? [1.2, 0.2, 0.6] : [1.28, 1.28, 1];
        const svg = add(this.element, "svg", { viewBox: `${-x} ${-y} ${2 * x} ${2 * y}`, "stroke-width": 0.02 });
        svg.style.height = `${isLine ? SLIDER : POLYGON}px`;
        add(svg, "polygon", { class: "shape", points: this.corners.join(" ") });
        const room = add(svg, "polygon", { class: "room" });
        const rays = this.rows.map(({ number }) => {
            const ray = add(svg, "line", { class: "ray" });
            ray.style.setProperty("--color", colorOf(number));
            return ray;
        });
        const corners = this.rows.map((row, k) => this.buildCorner(svg, row, k, size));
        const handle = add(svg, "circle", { class: "handle", r: 0.1 * size, tabindex: 0, role: "slider" });
        set(handle, { "aria-label": words()[1], "aria-valuemin": 0, "aria-valuemax": 1 });
        set(handle, { "aria-disabled": this.isFixed });
        handle.addEventListener("keydown", (event) => this.pressOnPad(event));
        follow(svg, (event) => this.drag(event), () => this.keep());
        return { svg, room, rays, corners, handle, reach: [x, y] };
    }

    buildCorner(svg, { number, name, picture }, k, size) {
        const [x, y] = this.corners[k];
        const group = add(svg, "g", { transform: `translate(${x} ${y})` });
        group.style.setProperty("--color", colorOf(number));
        add(group, "title", {}, name);
        const side = Math.min(0.46 * size, 1.5 * Math.sin(Math.PI / this.rows.length));
        if (picture) {
            add(group, "image", { href: picture, x: -side / 2, y: -side / 2, width: side, height: side });
            add(group, "rect", { class: "dot", x: -side / 2, y: -side / 2, width: side, height: side, fill: "none" })
                .style.fill = "none";
            return group;
        }
        add(group, "circle", { class: "dot", r: 0.12 * size });
        add(group, "text", { "font-size": 0.15 * size }, String(number));
        return group;
    }

    buildBar(bars, { number, name }) {
        const [, , weight, on] = words();
        const row = add(bars, "div", { class: "row" });
        row.style.setProperty("--color", colorOf(number));
        const button = add(row, "button", { type: "button", role: "switch", title: on }, String(number));
        button.setAttribute("aria-label", `${on}: ${name}`);
        button.disabled = this.isFixed;
        button.addEventListener("click", () => {
            this.change(number, ({ weight, isOn }) => ({ weight, isOn: !isOn }));
            this.keep();
        });
        add(row, "span", { class: "name", title: name }, name);
        const value = add(row, "span", { class: "weight" });
        const bar = add(row, "div", { class: "bar", tabindex: 0, role: "slider", "aria-valuemin": 0 });
        set(bar, { "aria-label": `${weight}: ${name}`, "aria-disabled": this.isFixed });
        bar.addEventListener("keydown", (event) => this.pressOnBar(event, number));
        follow(bar, (event) => this.dragBar(event, bar, number), () => this.keep());
        return { row, button, value, bar };
    }

    /** Rows of the text for all that is connected, and for what else it has. */
    read(text = String(this.widget.value ?? "")) {
        const rows = readWeights(text);
        const count = Math.max(rows?.length ?? 0, ...this.rows.map(({ number }) => number + 1));
        return Array.from({ length: count }, (_, k) => rows?.[k] ?? { weight: 1, isOn: true });
    }

    draw(text) {
        const read = this.read(text);
        const rows = this.rows.map(({ number }) => read[number]);
        const largest = Math.max(1, ...rows.map(({ weight }) => weight));
        this.bars.forEach(({ row, button, value, bar }, k) => {
            const { weight, isOn } = rows[k];
            row.classList.toggle("off", !isOn);
            button.setAttribute("aria-checked", isOn);
            value.textContent = shown(weight);
            bar.style.setProperty("--part", `${(100 * Math.max(0, weight)) / largest}%`);
            set(bar, { "aria-valuenow": shown(weight), "aria-valuemax": largest });
        });
        const total = rows.reduce((sum, { weight, isOn }) => sum + (isOn ? weight : 0), 0);
        const [empty, , , , linked, unread] = words();
        if (!rows.length) this.sum.textContent = empty;
        else if (this.isFixed) this.sum.textContent = linked;
        else this.sum.textContent = readWeights(text) ? `Σα = ${shown(total)}` : unread;
        if (this.shape) this.drawShape(rows, text);
    }

    drawShape(rows, text) {
        const { room, rays, corners, handle } = this.shape;
        const active = this.active(rows);
        const place = this.moved?.text === text ? this.moved.place : this.placeOf(rows);
        room.setAttribute("points", active.map((k) => this.corners[k]).join(" "));
        corners.forEach((corner, k) => corner.classList.toggle("off", !rows[k].isOn));
        rays.forEach((ray, k) => {
            const [[x1, y1], [x2, y2]] = [place, this.corners[k]];
            const total = active.reduce((sum, k) => sum + Math.max(0, rows[k].weight), 0) || 1;
            const share = rows[k].isOn ? Math.max(0, rows[k].weight) / total : 0;
            set(ray, { x1, y1, x2, y2, "stroke-width": 0.08 * share });
        });
        set(handle, { cx: place[0], cy: place[1] });
        const mix = rows.map(({ weight, isOn }, k) => `${this.rows[k].name} ${isOn ? shown(weight) : "off"}`);
        set(handle, { "aria-valuetext": mix.join(", "), "aria-valuenow": active.length ? shown(rows[active[0]].weight) : 0 });
    }

    /** Which rows, by their order, have a corner in the game. */
    active(rows) {
        return rows.map(({ isOn }, k) => (isOn ? k : -1)).filter((k) => k >= 0);
    }

    placeOf(rows) {
        const active = this.active(rows);
        if (!active.length) return [0, 0];
        const corners = active.map((k) => this.corners[k]);
        return placeOf(active.map((k) => rows[k].weight), corners);
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
        const active = this.active(this.rows.map(({ number }) => read[number]));
        if (this.isFixed || !active.length) return;
        const corners = active.map((k) => this.corners[k]);
        const inside = nearestInside(place, corners);
        inThousandths(sharesAt(inside, corners)).forEach((weight, k) => {
            read[this.rows[active[k]].number] = { weight, isOn: true };
        });
        this.write(read, inside);
    }

    drag(event) {
        const { svg, handle, reach } = this.shape;
        const box = svg.getBoundingClientRect();
        const scale = Math.min(box.width / (2 * reach[0]), box.height / (2 * reach[1]));
        handle.focus({ preventScroll: true });
        this.moveTo([
            (event.clientX - box.x - box.width / 2) / scale,
            (event.clientY - box.y - box.height / 2) / scale,
        ]);
    }

    dragBar(event, bar, number) {
        const box = bar.getBoundingClientRect();
        const part = Math.min(1, Math.max(0, (event.clientX - box.x) / box.width));
        bar.focus({ preventScroll: true });
        this.change(number, ({ isOn }) => ({ weight: part * Number(bar.getAttribute("aria-valuemax")), isOn }));
    }

    pressOnPad(event) {
        const { handle } = this.shape;
        const from = [Number(handle.getAttribute("cx")), Number(handle.getAttribute("cy"))];
        let [x, y] = MOVES[event.key] ?? [0, 0];
        if (this.rows.length === 2) [x, y] = [x - y, 0]; // on a line up is right, as on every slider
        const step = STEP[event.shiftKey];
        if (MOVES[event.key]) this.moveTo([from[0] + step * x, from[1] + step * y]);
        else if (event.key === "Home") this.moveToMiddle();
        else return;
        this.taken(event);
    }

    moveToMiddle() {
        const read = this.read();
        const rows = this.rows.map(({ number }) => ({ ...read[number], weight: 1 }));
        this.moveTo(this.placeOf(rows));
    }

    pressOnBar(event, number) {
        const grows = GROWS[event.key] * (event.shiftKey ? 10 : 1);
        const most = Number(event.currentTarget.getAttribute("aria-valuemax"));
        const bounded = (weight) => Math.min(most, Math.max(0, weight));
        const next = { Home: () => 0, End: () => most }[event.key] ?? (grows ? (weight) => bounded(weight + grows) : null);
        if (!next) return;
        this.change(number, ({ weight, isOn }) => ({ weight: next(weight), isOn }));
        this.taken(event);
    }

    taken(event) {
        event.preventDefault();
        event.stopPropagation(); // arrows move nodes elsewhere
        this.keep();
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
        const sheet = document.createElement("style");
        sheet.textContent = LOOK;
        document.head.append(sheet);
        setInterval(() => pads.forEach((pad) => pad.look()), WATCH);
    },
    nodeCreated(node) {
        if (node.comfyClass === NODE) addPad(node);
    },
});
