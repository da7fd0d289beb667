// The rows on the pad of 'Mix Conditions': a switch, a name, a weight and a bar to drag for each, and their sum.
import { add, follow, set, taken } from "./scedit_elements.js";
import { colorOf, words } from "./scedit_pad_look.js";
import { shown } from "./scedit_weights.js";

const GROWS = { ArrowLeft: -0.01, ArrowDown: -0.01, ArrowRight: 0.01, ArrowUp: 0.01, PageDown: -0.1, PageUp: 0.1 };

export class Bars {
    /** For rows {number, name}; `change(number, how)` and `keep()` are told of what is moved. */
    constructor(parent, rows, isFixed, told) {
        this.told = told;
        const list = add(parent, "div", { class: "bars" });
        this.rows = rows.map((row) => this.addRow(list, row, isFixed));
        this.sum = add(list, "div", { class: "sum" });
    }

    addRow(list, { number, name }, isFixed) {
        const { weight, on } = words();
        const row = add(list, "div", { class: "row" });
        row.style.setProperty("--color", colorOf(number));
        const button = add(row, "button", { type: "button", role: "switch", title: on }, String(number));
        button.setAttribute("aria-label", `${on}: ${name}`);
        button.disabled = isFixed;
        button.addEventListener("click", () => {
            this.told.change(number, ({ weight, isOn }) => ({ weight, isOn: !isOn }));
            this.told.keep();
        });
        add(row, "span", { class: "name", title: name }, name);
        const value = add(row, "span", { class: "weight" });
        const bar = add(row, "div", { class: "bar", tabindex: 0, role: "slider", "aria-valuemin": 0 });
        set(bar, { "aria-label": `${weight}: ${name}`, "aria-disabled": isFixed });
        bar.addEventListener("keydown", (event) => this.press(event, number));
        follow(bar, (event) => this.drag(event, bar, number), () => this.told.keep());
        return { row, button, value, bar };
    }

    /** Weights {weight, isOn} of the rows, and what is said below them. */
    draw(weights, said) {
        const largest = Math.max(1, ...weights.map(({ weight }) => weight));
        this.rows.forEach(({ row, button, value, bar }, k) => {
            const { weight, isOn } = weights[k];
            row.classList.toggle("off", !isOn);
            button.setAttribute("aria-checked", isOn);
            value.textContent = shown(weight);
            bar.style.setProperty("--part", `${(100 * Math.max(0, weight)) / largest}%`);
            set(bar, { "aria-valuenow": shown(weight), "aria-valuemax": largest });
        });
        this.sum.textContent = said;
    }

    drag(event, bar, number) {
        const box = bar.getBoundingClientRect();
        const part = Math.min(1, Math.max(0, (event.clientX - box.x) / box.width));
        bar.focus({ preventScroll: true });
        this.told.change(number, ({ isOn }) => ({ weight: part * mostOf(bar), isOn }));
    }

    press(event, number) {
        const grows = GROWS[event.key] * (event.shiftKey ? 10 : 1);
        const most = mostOf(event.currentTarget);
        const bounded = (weight) => Math.min(most, Math.max(0, weight));
        const next = { Home: () => 0, End: () => most }[event.key] ?? (grows ? (weight) => bounded(weight + grows) : null);
        if (!next) return;
        this.told.change(number, ({ weight, isOn }) => ({ weight: next(weight), isOn }));
        taken(event);
        this.told.keep();
    }
}

function mostOf(bar) {
    return Number(bar.getAttribute("aria-valuemax"));
}
