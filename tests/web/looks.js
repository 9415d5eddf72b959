'use strict'
// What can be computed about a page's looks: contrast of every visible text (WCAG 2.1, 1.4.3), and whether anything is wider than the window.

/** Runs in the page. Returns texts whose contrast is too small: {text, ratio, needed, color}. */
function poorContrast() {
  const canvas = document.createElement('canvas')
  canvas.width = canvas.height = 1
  const pen = canvas.getContext('2d', { willReadFrequently: true })
  const rgba = (color) => { // whatever notation: painted and read back
    pen.clearRect(0, 0, 1, 1)
    pen.fillStyle = color
    pen.fillRect(0, 0, 1, 1)
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data
    return [r, g, b, a / 255]
  }
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1)
  const parentOf = (e) => e.assignedSlot ?? e.parentElement ?? (e.getRootNode() instanceof ShadowRoot ? e.getRootNode().host : null)
  const light = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const behind = (element) => {
    const layers = []
    for (let e = element; e !== null; e = parentOf(e)) {
      const color = rgba(getComputedStyle(e).backgroundColor)
      if (color[3] > 0) layers.push(color)
      if (color[3] === 1) break
    }
    const canvasColor = getComputedStyle(document.documentElement).colorScheme.startsWith('dark') ? [18, 18, 18, 1] : [255, 255, 255, 1]
    return layers.reverse().reduce((below, top) => over(top, below), canvasColor)
  }
  // Letters in a drawing stand on the shape before them, which may let anything through: the worse of black and white below it counts.
  const backgrounds = (element) => {
    const shape = element instanceof SVGElement ? element.previousElementSibling : null
    if (shape === null) return [behind(element)]
    const paint = rgba(getComputedStyle(shape).fill)
    paint[3] *= Number(getComputedStyle(shape).fillOpacity)
    return [over(paint, [0, 0, 0, 1]), over(paint, [255, 255, 255, 1])]
  }
  const found = []
  const look = (root) => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT)
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
      if (node instanceof Element) {
        if (node.shadowRoot !== null) look(node.shadowRoot)
        continue
      }
      const element = node.parentElement
      const words = node.textContent.trim()
      if (words === '' || element === null || element.closest('script, style, option, noscript, title, :disabled, [aria-disabled=true]') !== null) continue
      if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue
      const box = element.getBoundingClientRect()
      if (box.width <= 1 || box.height <= 1) continue
      const style = getComputedStyle(element)
      const color = rgba(element instanceof SVGElement ? style.fill : style.color)
      for (let e = element; e !== null; e = parentOf(e)) color[3] *= Number(getComputedStyle(e).opacity)
      const ratio = Math.min(...backgrounds(element).map((background) => {
        const [a, b] = [light(over(color, background)), light(background)]
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
      }))
      const size = parseFloat(style.fontSize)
      const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5
      if (ratio < needed) found.push({ text: words.slice(0, 60), ratio: Math.round(100 * ratio) / 100, needed, color: color.join() })
    }
  }
  look(document.body)
  return found
}

/** Runs in the page. What is wider than the window, if the page scrolls sideways. */
function tooWide() {
  const width = document.documentElement.clientWidth
  if (document.documentElement.scrollWidth <= width) return []
  const found = []
  const look = (root) => {
    for (const e of root.querySelectorAll('*')) {
      if (e.getBoundingClientRect().right > width + 1) found.push(`${e.tagName.toLowerCase()}.${e.getAttribute('class') ?? ''}`)
      if (e.shadowRoot !== null) look(e.shadowRoot)
    }
  }
  look(document)
  return [`${document.documentElement.scrollWidth} of ${width}`, ...found.slice(0, 6)]
}

module.exports = { poorContrast, tooWide }
