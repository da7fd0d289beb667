// Elements of a page and of a drawing, and the pointer on them. Nothing here knows a node.

/** An element with attributes; one of SVG if its parent is. */
export function add(parent, tag, attributes = {}, text = "") {
    const isDrawn = tag === "svg" || parent.namespaceURI === "http://www.w3.org/2000/svg";
    const element = isDrawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    set(element, attributes);
    element.textContent = text;
    parent.append(element);
    return element;
}

export function set(element, attributes) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}

/** Have an element follow the pointer while its first button is down; the canvas gets nothing of it. */
export function follow(element, move, end) {
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

/** A key that was for this element: the page does nothing else with it, as arrows move nodes elsewhere. */
export function taken(event) {
    event.preventDefault();
    event.stopPropagation();
}
