// Building elements without markup in strings: nothing from outside is ever parsed as HTML, and a page may demand Trusted Types.

type Child = Node | string | null
type Attributes = Readonly<Record<string, string | number | boolean | EventListener>>

function fillIn(element: Element, attributes: Attributes, children: readonly Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value)
    else if (value !== false) element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...children.filter((c): c is Node | string => c !== null))
}

/** An element; an attribute that is a function listens to the event of that name. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  fillIn(element, attributes, children)
  return element
}

export function svg<K extends keyof SVGElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): SVGElementTagNameMap[K] {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag)
  fillIn(element, attributes, children)
  return element
}
