// What is shown in each state, as trees of elements; the challenge's and the scores' are changed while a session runs.
import { h, svg } from './dom'
import { icon } from './icons'
import type { Challenge, Feedback, Scores, Success } from './session'
import { fill, type Texts } from './words'

export const PASS = 0.7
const UNKNOWN = '\u2013'
const RING = 2 * Math.PI * 21

/** The heading of a view: takes the focus when the view comes, so that it is read out. */
const heading = (text: string) => h('h2', { tabindex: -1 }, text)
const button = (text: string, press: () => void, main = false) => h('button', { type: 'button', class: main ? 'main' : '', click: press }, text)

export function intro(t: Texts, host: string, start: () => void): HTMLElement {
  return h('div', { class: 'view' }, heading(t.title), h('p', {}, t.intro),
    h('ul', { class: 'hints' }, ...[t.prepare_light, t.prepare_face, t.prepare_head].map((text) => h('li', {}, text))),
    h('p', { class: 'soft small' }, fill(t.consent, { host })),
    h('div', { class: 'actions' }, button(t.start, start, true)))
}

export function waiting(t: Texts, title: string, text: string, cancel: () => void): HTMLElement {
  return h('div', { class: 'view' }, heading(title), h('div', { class: 'spinner', 'aria-hidden': 'true' }), h('p', {}, text),
    h('div', { class: 'actions' }, button(t.cancel, cancel)))
}

export function ready(t: Texts, begin: () => void, cancel: () => void): HTMLElement {
  return h('div', { class: 'view' }, heading(t.ready_title), h('p', {}, fill(t.ready_text, { seconds: 10 })),
    h('div', { class: 'actions' }, button(t.begin, begin, true), button(t.cancel, cancel)))
}

export function failure(t: Texts, text: string, scores: HTMLElement | null, again: (() => void) | null): HTMLElement {
  return h('div', { class: 'view' }, h('div', { class: 'result bad' }, icon('failed'), heading(t.failure_title)), h('p', {}, text), scores,
    again === null ? null : h('div', { class: 'actions' }, button(t.again, again, true)))
}

/** A part of a token as readable JSON; what is no JSON is shown as it is. */
function decoded(part: string | undefined): string {
  try {
    const bytes = Uint8Array.from(atob((part ?? '').replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0))
    return JSON.stringify(JSON.parse(new TextDecoder().decode(bytes)), null, 2)
  } catch {
    return part ?? ''
  }
}

export function success(t: Texts, result: Success): HTMLElement {
  const scores = new ScoreView(t)
  scores.show(result.scores, result.final_score)
  const [header, claims] = result.token.split('.')
  const block = (title: string, text: string) => [h('h3', {}, title), h('pre', { tabindex: 0 }, text)]
  return h('div', { class: 'view' }, h('div', { class: 'result good' }, icon('done'), heading(t.success_title)),
    h('p', {}, fill(t.success_text, { minutes: result.expires_in_minutes })), scores.element,
    h('details', {}, h('summary', {}, t.token), ...block(t.token_header, decoded(header)), ...block(t.token_claims, decoded(claims)),
      ...block(t.token_raw, result.token)))
}

/** Bars of the scores with the mark that has to be reached. */
export class ScoreView {
  readonly element: HTMLElement
  readonly #rows = new Map<string, { bar: HTMLElement; fill: HTMLElement; text: HTMLElement }>()
  readonly #pass: number

  constructor(readonly t: Texts, pass = PASS) {
    this.#pass = pass
    this.element = h('div', { class: 'scores' }, h('h3', {}, t.scores))
    for (const name of ['liveness', 'emotion', 'deepfake', 'final'] as const) this.#add(name, t[name])
    this.element.append(h('p', { class: 'soft small' }, fill(t.needed, { threshold: pass.toFixed(2) })))
  }

  show(scores: Scores, final: number | null): void {
    this.#set('liveness', scores.liveness_score)
    this.#set('emotion', scores.emotion_score)
    this.#set('deepfake', scores.deepfake_score)
    this.#set('final', final)
  }

  #add(name: string, label: string): void {
    const inside = h('i')
    const meaning = { role: 'meter', 'aria-label': label, 'aria-valuemin': 0, 'aria-valuemax': 1, 'aria-valuenow': 0, 'aria-valuetext': UNKNOWN }
    const bar = h('div', { class: 'bar', ...meaning }, inside)
    bar.style.setProperty('--mark', `${100 * this.#pass}%`)
    const text = h('b', { 'aria-hidden': 'true' }, UNKNOWN)
    const row = h('div', { class: 'score' }, h('span', { 'aria-hidden': 'true' }, label), bar, text)
    this.element.append(row)
    this.#rows.set(name, { bar, fill: inside, text })
  }

  #set(name: string, value: number | null): void {
    const row = this.#rows.get(name)
    if (row === undefined || value === null) return
    const shown = Math.min(1, Math.max(0, value))
    row.text.textContent = value.toFixed(2)
    row.fill.style.width = `${100 * shown}%`
    row.bar.classList.toggle('enough', value >= this.#pass)
    row.bar.setAttribute('aria-valuenow', shown.toFixed(2))
    row.bar.setAttribute('aria-valuetext', value.toFixed(2))
  }
}

/** The running challenges: what is to be done, how much time is left, what is seen. */
export class ChallengeView {
  readonly element: HTMLElement
  readonly #scores: ScoreView
  readonly #step = h('p', { class: 'soft small' })
  readonly #steps = h('ol', { class: 'steps', 'aria-hidden': 'true' })
  readonly #picture = h('div', { class: 'picture' })
  readonly #title: HTMLHeadingElement
  readonly #rest = svg('circle', { class: 'rest', cx: 24, cy: 24, r: 21, 'stroke-dasharray': RING, 'stroke-dashoffset': 0 })
  readonly #seconds = h('span')
  readonly #hint = h('p', { class: 'hint' })
  #current: Challenge | null = null
  #outcome: boolean | null = null
  #endsAt = 0

  constructor(readonly t: Texts, skip: () => void, cancel: () => void) {
    this.#title = heading('')
    this.#scores = new ScoreView(t)
    const ring = h('div', { class: 'ring', 'aria-hidden': 'true' },
      svg('svg', { viewBox: '0 0 48 48' }, svg('circle', { class: 'track', cx: 24, cy: 24, r: 21 }), this.#rest), this.#seconds)
    this.element = h('div', { class: 'view' }, h('div', { class: 'view' }, this.#step, this.#steps),
      h('div', { class: 'task' }, this.#picture, this.#title, ring), this.#hint, this.#scores.element,
      h('div', { class: 'actions' }, button(t.skip, skip), button(t.cancel, cancel)))
  }

  /** The next challenge; returns what is to be read out. */
  issue(challenge: Challenge, instruction: string): string {
    const before = this.#current === null || this.#outcome === null ? '' : (this.#outcome ? this.t.done : this.t.missed) + ' '
    if (this.#steps.childElementCount !== challenge.total)
      this.#steps.replaceChildren(...Array.from({ length: challenge.total }, (_, i) => h('li', {}, String(i + 1))))
    this.#steps.querySelector('[aria-current]')?.removeAttribute('aria-current')
    this.#steps.children[challenge.number - 1]?.setAttribute('aria-current', 'step')
    this.#current = challenge
    this.#outcome = null
    this.#endsAt = performance.now() + 1000 * challenge.seconds
    const step = fill(this.t.step, { number: challenge.number, total: challenge.total })
    this.#step.textContent = step
    this.#title.textContent = instruction
    this.#picture.replaceChildren(icon(challenge.name))
    this.#hint.textContent = this.t.waiting
    this.tick()
    return `${before}${step}: ${instruction}`
  }

  end(passed: boolean): void {
    this.#outcome = passed
    const item = this.#steps.children[(this.#current?.number ?? 0) - 1]
    item?.classList.add(passed ? 'done' : 'missed')
    item?.removeAttribute('aria-current')
    item?.replaceChildren(icon(passed ? 'done' : 'failed'))
    this.#hint.textContent = passed ? this.t.done : this.t.missed
  }

  /** Returns the words for what is seen. */
  feedback(feedback: Feedback): string {
    const seen = !feedback.face ? this.t.no_face : feedback.faces > 1 ? this.t.many_faces : this.t.waiting
    const hint = feedback.hint === null ? seen : (this.t.server[feedback.hint] ?? feedback.hint)
    if (this.#outcome === null) this.#hint.textContent = hint
    return hint
  }

  scores(scores: Scores, final: number | null): void {
    this.#scores.show(scores, final)
  }

  /** The countdown. */
  tick(): void {
    if (this.#current === null) return
    const left = Math.max(0, this.#endsAt - performance.now())
    this.#seconds.textContent = fill(this.t.seconds_left, { seconds: Math.ceil(left / 1000) })
    this.#rest.setAttribute('stroke-dashoffset', String(RING * (1 - left / (1000 * this.#current.seconds))))
  }
}
