// A drawing for each instruction, in a square of 48. Left is the person's own left, which is left in the mirrored preview, too.
import { svg } from './dom'

const HEAD = 'M24 5a19 19 0 1 0 0 38a19 19 0 1 0 0-38z'
const EYES = 'M17 19v3M31 19v3'
const LOWERED_LIDS = 'M14 21q3 3 6 0M28 21q3 3 6 0'
const SMILE = 'M15 29q9 9 18 0'
const LINE = 'M16 32h16'

const DRAWINGS: readonly (readonly [RegExp, ...string[]])[] = [
  [/nod.*up/, 'M24 42V8M11 20L24 7l13 13'],
  [/nod.*down/, 'M24 6v34M11 28l13 13l13-13'],
  [/turn.*left/, 'M42 24H8M20 11L7 24l13 13'],
  [/turn.*right/, 'M6 24h34M28 11l13 13l-13 13'],
  [/tilt.*left/, 'M38 39A19 19 0 0 0 10 15M9 5v11h11'],
  [/tilt.*right/, 'M10 39A19 19 0 0 1 38 15M39 5v11H28'],
  [/mouth/, HEAD, EYES, 'M24 27a6 6 0 1 0 0 11a6 6 0 1 0 0-11z'],
  [/close.*eyes/, HEAD, LOWERED_LIDS, LINE],
  [/brow/, HEAD, EYES, LINE, 'M13 14q4-4 8 0M27 14q4-4 8 0'],
  [/blink/, 'M4 24q20-22 40 0q-20 22-40 0z', 'M24 18a6 6 0 1 0 0 12a6 6 0 1 0 0-12z'],
  [/smile/, HEAD, EYES, SMILE],
  [/frown/, HEAD, EYES, 'M15 34q9-8 18 0'],
  [/surpris/, HEAD, EYES, 'M24 28a4 4 0 1 0 0 8a4 4 0 1 0 0-8z', 'M13 13q4-4 8 0M27 13q4-4 8 0'],
  [/ang(e)?r/, HEAD, EYES, 'M16 34q8-6 16 0', 'M13 13l8 4M35 13l-8 4'],
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
