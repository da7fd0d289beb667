// The place among conditions on the pad of 'Mix Conditions': a line, a triangle or a polygon with a handle.
import { add, follow, set, taken } from "./scedit_elements.js";
import { POLYGON, SLIDER, colorOf, words } from "./scedit_pad_look.js";
import { activeOf, cornersOf, shown } from "./scedit_weights.js";

const STEP = { false: 0.02, true: 0.1 }; // of an arrow key, and with Shift
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Shape {
    /** For two rows {number, name, picture} or more; `moveTo(place)`, `moveToMiddle()` and `keep()` are told of moves. */
    constructor(parent, rows, isFixed, told) {
        Object.assign(this, { rows, told, corners: cornersOf(rows.length) });
        const isLine = rows.length === 2;
        const [x, y, size] = isLine ? [1.2, 0.2, 0.6] : [1.28, 1.28, 1];
        this.reach = [x, y];
        this.svg = add(parent, "svg", { viewBox: `${-x} ${-y} ${2 * x} ${2 * y}`, "stroke-width": 0.02 });
        this.svg.style.height = `${isLine ? SLIDER : POLYGON}px`;
        add(this.svg, "polygon", { class: "shape", points: this.corners.join(" ") });
        this.room = add(this.svg, "polygon", { class: "room" });
        this.rays = rows.map(({ number }) => {
            const ray = add(this.svg, "line", { class: "ray" });
            ray.style.setProperty("--color", colorOf(number));
            return ray;
        });
        this.marks = rows.map((row, k) => this.addCorner(row, k, size));
        this.handle = add(this.svg, "circle", { class: "handle", r: 0.1 * size, tabindex: 0, role: "slider" });
        set(this.handle, { "aria-label": words().mix, "aria-valuemin": 0, "aria-valuemax": 1 });
        set(this.handle, { "aria-disabled": isFixed });
        this.handle.addEventListener("keydown", (event) => this.press(event));
        follow(this.svg, (event) => this.drag(event), () => told.keep());
    }

    addCorner({ number, name, picture }, k, size) {
        const [x, y] = this.corners[k];
        const group = add(this.svg, "g", { transform: `translate(${x} ${y})` });
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

    /** Weights {weight, isOn} of the rows, and where the handle is. */
    draw(weights, place) {
        const active = activeOf(weights);
        this.room.setAttribute("points", active.map((k) => this.corners[k]).join(" "));
        this.marks.forEach((mark, k) => mark.classList.toggle("off", !weights[k].isOn));
        const total = active.reduce((sum, k) => sum + Math.max(0, weights[k].weight), 0) || 1;
        this.rays.forEach((ray, k) => {
            const [[x1, y1], [x2, y2]] = [place, this.corners[k]];
            const share = weights[k].isOn ? Math.max(0, weights[k].weight) / total : 0;
            set(ray, { x1, y1, x2, y2, "stroke-width": 0.08 * share });
        });
        const mix = weights.map(({ weight, isOn }, k) => `${this.rows[k].name} ${isOn ? shown(weight) : "off"}`);
        set(this.handle, { cx: place[0], cy: place[1], "aria-valuetext": mix.join(", ") });
        set(this.handle, { "aria-valuenow": active.length ? shown(weights[active[0]].weight) : 0 });
    }

    drag(event) {
        const box = this.svg.getBoundingClientRect();
        const scale = Math.min(box.width / (2 * this.reach[0]), box.height / (2 * this.reach[1]));
        this.handle.focus({ preventScroll: true });
        this.told.moveTo([
            (event.clientX - box.x - box.width / 2) / scale,
            (event.clientY - box.y - box.height / 2) / scale,
        ]);
    }

    press(event) {
        const from = ["cx", "cy"].map((name) => Number(this.handle.getAttribute(name)));
        let [x, y] = MOVES[event.key] ?? [0, 0];
        if (this.rows.length === 2) [x, y] = [x - y, 0]; // on a line up is right, as on every slider
        const step = STEP[event.shiftKey];
        if (MOVES[event.key]) this.told.moveTo([from[0] + step * x, from[1] + step * y]);
        else if (event.key === "Home") this.told.moveToMiddle();
        else return;
        taken(event);
        this.told.keep();
    }
}
