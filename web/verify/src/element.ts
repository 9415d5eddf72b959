// <mien-verify>: proof of life in the browser, as one element that any site can embed. Attributes, properties, events: docs/verify-element.md.
//
// An attempt is one asynchronous function from the button to the verdict. It owns an AbortController; whatever way it ends (verdict, failure, cancelled,
// element removed, page left) the controller aborts, and with it the camera's tracks are stopped, the socket closed, the requests given up.
import { cameraLost, Failure, openCamera, show, Snapshots } from './camera'
import { h, svg } from './dom'
import { LiveSession, requestSession, socketAddress, type Listener, type Session, type Success } from './session'
import { style } from './style'
import * as views from './views'
import { ENGLISH, fill, type Texts } from './words'

export type { Scores, Session, Success } from './session'
export type { Reason, Texts } from './words'
export type State = 'intro' | 'camera' | 'ready' | 'connecting' | 'challenge' | 'success' | 'failure'
export type SessionSource = Session | (() => Promise<Session>)

const SPEAK_EVERY_MS = 2500 // hints change many times a second; a screen reader is given one at a time
const ORIGIN = new URL(import.meta.url).origin

export class MienVerify extends HTMLElement {
  #apiKey: string | null = null
  #session: SessionSource | null = null
  #texts: Texts = { ...ENGLISH, server: {} }
  #attempt: AbortController | null = null
  #state: State = 'intro'
  #spokenAt = 0
  readonly #card: HTMLElement
  readonly #stage: HTMLElement
  readonly #video = h('video', { muted: true, playsinline: true, autoplay: true })
  readonly #panel = h('div', { class: 'panel' })
  readonly #loud = h('div', { class: 'spoken', role: 'alert', 'aria-live': 'assertive' })
  readonly #quiet = h('div', { class: 'spoken', role: 'status', 'aria-live': 'polite' })

  constructor() {
    super()
    this.#video.muted = true
    this.#stage = h('div', { class: 'stage', hidden: true }, this.#video,
      svg('svg', { class: 'guide', viewBox: '0 0 100 75', preserveAspectRatio: 'xMidYMid slice', 'aria-hidden': 'true' },
        svg('path', { class: 'shade', d: 'M-200-200h500v500h-500zM50 7a23 30.5 0 1 0 0 61a23 30.5 0 1 0 0-61z' }),
        svg('ellipse', { class: 'oval', cx: 50, cy: 37.5, rx: 23, ry: 30.5 })))
    this.#card = h('div', { class: 'card' }, this.#stage, this.#panel, this.#loud, this.#quiet)
    const root = this.attachShadow({ mode: 'open' })
    root.adoptedStyleSheets = [style()]
    root.append(this.#card)
  }

  get state(): State {
    return this.#state
  }

  /** The API key, when the page asks its user for one; it is not written to the document. */
  get apiKey(): string | null {
    return this.#apiKey ?? this.getAttribute('api-key')
  }
  set apiKey(key: string | null) {
    this.#apiKey = key
  }

  /** Where sessions come from when the page obtains them itself: one session, or a function that brings one for each attempt. */
  get session(): SessionSource | null {
    return this.#session
  }
  set session(source: SessionSource | null) {
    this.#session = source
  }

  /** Words in place of the English ones; those that are not given stay. */
  get texts(): Texts {
    return this.#texts
  }
  set texts(texts: Partial<Texts>) {
    this.#texts = { ...ENGLISH, server: {}, ...texts }
    if (this.isConnected && this.#state === 'intro') this.#introduce()
  }

  connectedCallback(): void {
    for (const name of ['apiKey', 'session', 'texts'] as const) this.#upgrade(name)
    window.addEventListener('pagehide', this.#leave)
    this.#introduce()
  }

  disconnectedCallback(): void {
    window.removeEventListener('pagehide', this.#leave)
    this.#leave()
  }

  /** Ends the attempt, if there is one, and shows the introduction again. */
  reset(): void {
    this.#leave()
    this.#introduce()
  }

  /** As if the first button had been pressed. */
  start(): void {
    void this.#run()
  }

  // A property that was set before the element was defined hides the class's own: it is set again.
  #upgrade(name: 'apiKey' | 'session' | 'texts'): void {
    const own = Object.getOwnPropertyDescriptor(this, name)
    if (own === undefined) return
    Reflect.deleteProperty(this, name)
    Reflect.set(this, name, own.value)
  }

  readonly #leave = (): void => {
    this.#attempt?.abort()
    this.#attempt = null
    this.#film(false)
  }

  #introduce(): void {
    this.#enter('intro', views.intro(this.#texts, new URL(this.#server ?? ORIGIN, location.href).host, () => this.start()))
  }

  // ---- one attempt ----

  async #run(): Promise<void> {
    this.#leave()
    const attempt = (this.#attempt = new AbortController())
    try {
      this.#succeed(await this.#verify(attempt.signal))
    } catch (error) {
      if (!attempt.signal.aborted) this.#fail(error instanceof Failure ? error : new Failure('server_error'))
    } finally {
      attempt.abort()
      if (this.#attempt === attempt) this.#leave()
    }
  }

  async #verify(signal: AbortSignal): Promise<Success> {
    const t = this.#texts
    const cancel = () => this.#cancel()
    if (!this.#canAsk()) throw new Failure('not_configured')
    this.#enter('camera', views.waiting(t, t.camera_title, t.camera_text, cancel))
    const stream = await openCamera(signal)
    const lost = cameraLost(stream)
    lost.catch(() => undefined) // also heard of when nobody waits for it at that moment
    await show(this.#video, stream, signal)
    this.#film(true)
    await Promise.race([lost, new Promise<void>((begin) => this.#enter('ready', views.ready(t, begin, cancel)))])
    this.#enter('connecting', views.waiting(t, t.connecting_title, t.connecting_text, cancel))
    const session = await this.#ask(signal)
    signal.throwIfAborted()
    return Promise.race([lost, this.#challenge(session, signal, cancel)])
  }

  #challenge(session: Session, signal: AbortSignal, cancel: () => void): Promise<Success> {
    const view = new views.ChallengeView(this.#texts, () => live.skip(), cancel)
    const ticking = setInterval(() => view.tick(), 250)
    signal.addEventListener('abort', () => clearInterval(ticking))
    const listener: Listener = {
      issued: (challenge) => {
        const words = view.issue(challenge, this.#texts.server[challenge.instruction] ?? challenge.instruction)
        if (this.#state !== 'challenge') this.#enter('challenge', view.element)
        this.#loud.textContent = words
      },
      ended: (passed) => view.end(passed),
      feedback: (feedback) => {
        this.#stage.classList.toggle('seen', feedback.face && feedback.faces < 2)
        this.#murmur(view.feedback(feedback))
      },
      scores: (scores, final) => view.scores(scores, final),
    }
    const live = new LiveSession(socketAddress(session, this.#server), new Snapshots(this.#video), listener, signal)
    return live.done
  }

  #succeed(result: Success): void {
    this.#film(false)
    this.#enter('success', views.success(this.#texts, result))
    this.#tell('mien-success', result)
  }

  #fail(failure: Failure): void {
    const t = this.#texts
    const message = fill(t[failure.reason], { message: String(failure.detail['message'] ?? '') })
    this.#film(false)
    const { scores, final_score: final, threshold } = failure.detail
    const bars = typeof final === 'number' ? new views.ScoreView(t, typeof threshold === 'number' ? threshold : views.PASS) : null
    bars?.show(scores as Success['scores'], final as number)
    this.#enter('failure', views.failure(t, message, bars?.element ?? null, this.#oneSession() ? null : () => this.start()))
    this.#loud.textContent = message
    this.#tell('mien-failure', { ...failure.detail, reason: failure.reason, message })
  }

  #cancel(): void {
    this.reset()
    this.#tell('mien-failure', { reason: 'cancelled', message: this.#texts.cancelled })
  }

  // ---- where sessions come from ----

  get #server(): string | null {
    return this.getAttribute('server')
  }

  #canAsk(): boolean {
    return this.#session !== null || ['session-url', 'websocket-url', 'user-id'].some((name) => (this.getAttribute(name) ?? '') !== '')
  }

  /** A session that was given as such serves one attempt. */
  #oneSession(): boolean {
    return this.#session !== null ? typeof this.#session !== 'function' : !this.hasAttribute('session-url') && this.hasAttribute('websocket-url')
  }

  async #ask(signal: AbortSignal): Promise<Session> {
    const user = this.getAttribute('user-id')
    const url = this.getAttribute('session-url')
    const socket = this.getAttribute('websocket-url')
    if (typeof this.#session === 'function') return this.#session().catch(() => Promise.reject(new Failure('unreachable')))
    if (this.#session !== null) return this.#session
    if (url !== null) return requestSession(new URL(url, document.baseURI).href, user === null ? {} : { user_id: user }, null, signal)
    if (socket !== null) return { websocket_url: socket }
    const server = new URL(this.#server ?? ORIGIN, location.href).href.replace(/\/$/, '')
    return requestSession(`${server}/auth/verify`, { user_id: user }, this.apiKey, signal)
  }

  // ---- what is shown and told ----

  #enter(state: State, view: HTMLElement): void {
    const had = this.shadowRoot?.activeElement !== null // the focus is ours to move: it was in the element
    this.#state = state
    this.#loud.textContent = this.#quiet.textContent = ''
    this.#panel.replaceChildren(view)
    const next = state === 'ready' || state === 'intro' ? view.querySelector<HTMLElement>('button.main') : null
    if (had) (next ?? view.querySelector('h2'))?.focus()
    if (had && next !== null) this.#quiet.textContent = view.querySelector('h2')?.textContent ?? ''
    this.#tell('mien-state', { state })
  }

  /** Reads a hint out, not more often than a person can follow. */
  #murmur(words: string): void {
    const now = performance.now()
    if (words === this.#quiet.textContent || now - this.#spokenAt < SPEAK_EVERY_MS) return
    this.#spokenAt = now
    this.#quiet.textContent = words
  }

  #film(on: boolean): void {
    this.#stage.hidden = !on
    this.#card.classList.toggle('filming', on)
    this.#stage.classList.remove('seen')
    this.#video.setAttribute('aria-label', this.#texts.preview)
    if (!on) this.#video.srcObject = null
    else this.#stage.style.aspectRatio = `${this.#video.videoWidth} / ${this.#video.videoHeight}`
  }

  #tell(name: string, detail: object): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }))
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mien-verify': MienVerify
  }
}

if (customElements.get('mien-verify') === undefined) customElements.define('mien-verify', MienVerify)
