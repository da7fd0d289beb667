// Weights of 'Mix Conditions' as a line of text and as a place among corners. Nothing here knows the page.

export const MOST_ROWS = 16;
const LARGEST = 10;
const MOST_CHARACTERS = 1000;
const ENTRY = /^\s*(off)?\s*([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?)?\s*$/i;

/** Rows {weight, isOn} of a line as nodes/mix.py reads it; null for one that it refuses. */
export function readWeights(text) {
    if (!text.trim()) return [];
    if (text.length > MOST_CHARACTERS) return null;
    const rows = text.normalize("NFKC").split(/[,;\u3001\n]/).map((entry) => {
        const [, off, number] = ENTRY.exec(entry) ?? [null, null, "Infinity"];
        return { weight: number ? Number(number) : 1, isOn: !off };
    });
    const isGood = rows.length <= MOST_ROWS && rows.every(({ weight }) => Math.abs(weight) <= LARGEST);
    return isGood ? rows : null;
}

/** The line that says so, with at most three decimals. */
export function writeWeights(rows) {
    return rows.map(({ weight, isOn }) => `${isOn ? "" : "off "}${shown(weight)}`).join(", ");
}

/** A number with at most three decimals. */
export function shown(number) {
    return String(Math.round(number * 1000) / 1000 || 0); // never -0
}

/** Which rows, by their order, are switched on: only their corners are in the game. */
export function activeOf(rows) {
    return rows.map(({ isOn }, k) => (isOn ? k : -1)).filter((k) => k >= 0);
}

/** Corners [x, y] on the circle of radius 1, y downwards: two left and right, three and more from the top on. */
export function cornersOf(count) {
    const first = count === 2 ? -1 : count === 4 ? -0.75 : -0.5; // half turns: four stand on a side
    const angles = Array.from({ length: count }, (_, k) => Math.PI * (first + (2 * k) / count));
    return angles.map((angle) => [Math.cos(angle), count === 2 ? 0 : Math.sin(angle)]);
}

/** Twice the area of a triangle, positive if its corners come in the order of `cornersOf`. */
function area([ax, ay], [bx, by], [cx, cy]) {
    return (bx - ax) * (cy - ay) - (cx - ax) * (by - ay);
}

/** The point between two others that is nearest to a place, and how far along it lies, 0 to 1. */
function nearestBetween([x, y], [ax, ay], [bx, by]) {
    const [dx, dy] = [bx - ax, by - ay];
    const along = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy);
    const part = Math.min(1, Math.max(0, along));
    return { point: [ax + part * dx, ay + part * dy], part };
}

/** The nearest place in the polygon, which has one corner or more and is convex. */
export function nearestInside(place, corners) {
    if (corners.length === 1) return corners[0];
    const sides = corners.map((corner, k) => [corner, corners[(k + 1) % corners.length]]);
    if (corners.length > 2 && sides.every(([a, b]) => area(place, a, b) >= 0)) return place;
    const far = ({ point: [x, y] }) => Math.hypot(x - place[0], y - place[1]);
    const points = sides.map(([a, b]) => nearestBetween(place, a, b));
    return points.reduce((best, next) => (far(next) < far(best) ? next : best)).point;
}

/**
 * Shares of the corners at a place in their convex polygon; they add up to 1, and their mean of the corners is
 * the place. These are Wachspress' coordinates (Meyer et al., 2002): for each corner the product of the areas
 * that the place has with all sides but its own two, so that corners and sides are exact and nothing is divided
 * by 0. Three corners have the ordinary barycentric coordinates, and of two the place on the line decides.
 */
export function sharesAt(place, corners) {
    const count = corners.length;
    if (count === 1) return [1];
    if (count === 2) {
        const { part } = nearestBetween(place, ...corners);
        return [1 - part, part];
    }
    const after = corners.map((_, k) => corners[(k + 1) % count]);
    const sides = corners.map((corner, k) => Math.max(0, area(place, corner, after[k])));
    const raw = corners.map((corner, k) => {
        const before = (k + count - 1) % count;
        const others = sides.filter((_, side) => side !== k && side !== before);
        return others.reduce((product, side) => product * side, area(corners[before], corner, after[k]));
    });
    const sum = raw.reduce((a, b) => a + b);
    return raw.map((share) => share / sum);
}

/** Where weights lie among their corners: the mean of these, in which weights below 0 count as 0. */
export function placeOf(weights, corners) {
    const positive = weights.map((weight) => Math.max(0, weight));
    const sum = positive.reduce((a, b) => a + b, 0);
    const shares = positive.map((weight) => (sum > 0 ? weight / sum : 1 / weights.length));
    return [0, 1].map((axis) => shares.reduce((mean, share, k) => mean + share * corners[k][axis], 0));
}

/** The shares in thousandths that still add up to 1: those with most left over are rounded up. */
export function inThousandths(shares) {
    const parts = shares.map((share) => Math.floor(share * 1000 + 1e-9));
    const missing = 1000 - parts.reduce((a, b) => a + b, 0);
    const left = shares.map((share, k) => [share * 1000 - parts[k], k]).sort(([a], [b]) => b - a);
    for (const [, k] of left.slice(0, missing)) parts[k] += 1;
    return parts.map((part) => part / 1000);
}
