// Make one tree of elements like another, touching only what differs: focus, scrolling, open
// details and charts stay. Elements are matched by their id, or by their place.
export function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || from.id !== to.id) {
    from.replaceWith(document.importNode(to, true));
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  if (from.hasAttribute("data-keep")) {
    if (from.dataset.keep !== to.dataset.keep) from.replaceWith(document.importNode(to, true));
    return;
  }
  copyAttributes(from, to);
  if (from.hasAttribute("data-chart")) return; // charts.js draws what its attribute says
  morphChildren(from, to);
}

function copyAttributes(from, to) {
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !(from.nodeName === "DETAILS" && name === "open")) from.removeAttribute(name);
  }
}

function morphChildren(from, to) {
  const wanted = [...to.childNodes];
  const byId = new Map([...from.children].filter((child) => child.id).map((child) => [child.id, child]));
  let current = from.firstChild;
  for (const next of wanted) {
    const known = next.id && byId.get(next.id);
    if (known && known !== current) {
      from.insertBefore(known, current);
      morph(known, next);
    } else if (current && !(current.id && next.id !== current.id)) {
      const following = current.nextSibling;
      morph(current, next);
      current = following;
    } else if (current && known === current) {
      const following = current.nextSibling;
      morph(current, next);
      current = following;
    } else {
      from.insertBefore(document.importNode(next, true), current);
    }
  }
  while (current) {
    const following = current.nextSibling;
    current.remove();
    current = following;
  }
}
