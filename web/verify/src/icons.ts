// A drawing for each instruction, in a square of 48. Left is the person's own left, which is left in the mirrored preview, too.
import { svg } from './dom'

const HEAD = 'M24 5a19 19 0 1 0 0 38a19 19 0 1 0 0-38z'
const EYES = 'M17 18v2M31 18v2'
const LIDS = 'M14 19q3 3 6 0M28 19q3 3 6 0'
const BROWS_UP = 'M14 14q3-3 6 0M28 14q3-3 6 0'
const SMILE = 'M15 28q9 9 18 0'
const LINE = 'M17 32h14'

const DRAWINGS: readonly (readonly [RegExp, ...string[]])[] = [
  [/nod.*up/, 'M24 42V8M11 20L24 7l13 13'],
  [/nod.*down/, 'M24 6v34M11 28l13 13l13-13'],
  [/turn.*left/, 'M42 24H8M20 11L7 24l13 13'],
  [/turn.*right/, 'M6 24h34M28 11l13 13l-13 13'],
  [/tilt.*left/, 'M38 39A19 19 0 0 0 10 15M9 5v11h11'],
  [/tilt.*right/, 'M10 39A19 19 0 0 1 38 15M39 5v11H28'],
  [/mouth/, HEAD, EYES, 'M17 27h14q0 9-7 9t-7-9z'],
  [/close.*eyes/, HEAD, LIDS, LINE],
  [/brow/, HEAD, 'M17 20v2M31 20v2', LINE, BROWS_UP],
  [/blink/, 'M4 24q20-22 40 0q-20 22-40 0z', 'M24 18a6 6 0 1 0 0 12a6 6 0 1 0 0-12z'],
  [/smile/, HEAD, EYES, SMILE],
  [/frown/, HEAD, EYES, 'M15 34q9-9 18 0'],
  [/surpris/, HEAD, 'M17 20v1M31 20v1', 'M24 28a4 4 0 1 0 0 8a4 4 0 1 0 0-8z', BROWS_UP],
  [/ang(e)?r/, HEAD, 'M17 22v1M31 22v1', 'M17 34q7-5 14 0', 'M13 14l8 4M35 14l-8 4'],
  [/neutral|relax/, HEAD, EYES, LINE],
  [/^done$/, 'M8 25l11 11L40 13'],
  [/^failed$/, 'M11 11l26 26M37 11L11 37'],
]

/** The drawing for a challenge's name ("turn_left") or its English instruction ("Turn your head to the left"). */
export function icon(challenge: string): SVGSVGElement {
  const name = challenge.toLowerCase()
  const strokes = DRAWINGS.find(([pattern]) => pattern.test(name))?.slice(1) ?? [HEAD, EYES, LINE]
  return svg('svg', { viewBox: '0 0 48 48', class: 'icon', 'aria-hidden': 'true', focusable: 'false' }, ...strokes.map((d) => svg('path', { d: String(d) })))
}
