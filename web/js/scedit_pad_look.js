// How the pad of 'Mix Conditions' looks, and its words.
import { app } from "../../../scripts/app.js";

export const [SLIDER, POLYGON] = [46, 156]; // heights in pixels
const [ROW, SUM] = [30, 20];
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

export function addLook() {
    const sheet = document.createElement("style");
    sheet.textContent = LOOK;
    document.head.append(sheet);
}

/** In the page's language; English where there is none of it. */
export function words() {
    const [empty, mix, weight, on, linked, unread] = WORDS[app.extensionManager.setting.get("Comfy.Locale")] ?? WORDS.en;
    return { empty, mix, weight, on, linked, unread };
}

/** Of a row, by the number of its socket. */
export function colorOf(number) {
    return `hsl(${(205 + number * 137.5) % 360} 60% 48%)`;
}

/** In px: all that the pad of so many rows shows. */
export function heightOf(count) {
    if (count === 0) return SUM;
    const bars = count * ROW + SUM;
    return count > 2 ? Math.max(POLYGON, bars) : count === 2 ? SLIDER + bars : bars;
}
