// A session with the server: asking for one, and the WebSocket with its frames and messages. Nothing here is shown.
import { Failure, type Snapshots } from './camera'
import type { Reason } from './words'

export interface Session {
  readonly session_id?: string
  readonly websocket_url: string
}

export interface Challenge {
  readonly name: string
  readonly instruction: string
  readonly number: number
  readonly total: number
  readonly seconds: number
}

export interface Scores {
  readonly liveness_score: number | null
  readonly emotion_score: number | null
  readonly deepfake_score: number | null
}

export interface Feedback {
  readonly face: boolean
  readonly faces: number
  readonly hint: string | null
}

export interface Success {
  readonly token: string
  readonly final_score: number
  readonly scores: Scores
  readonly expires_in_minutes: number
}

/** What is told while a session runs. */
export interface Listener {
  issued(challenge: Challenge): void
  ended(passed: boolean): void
  feedback(feedback: Feedback): void
  scores(scores: Scores, final: number | null): void
}

type Data = Readonly<Record<string, unknown>>

const NONCE_BYTES = 16
const FRAME_EVERY_MS = 100
const MOST_BUFFERED = 128 * 1024 // about four frames: above it the network is slower than the camera, and frames are left out
const OPEN_WITHIN_MS = 15_000
const SILENCE_MS = 15_000 // the server says something every 500 ms while frames come

const text = (data: Data, key: string): string => (typeof data[key] === 'string' ? (data[key] as string) : '')
const number = (data: Data, key: string): number | null => (typeof data[key] === 'number' ? (data[key] as number) : null)
const scoresOf = (data: Data): Scores =>
  ({ liveness_score: number(data, 'liveness_score'), emotion_score: number(data, 'emotion_score'), deepfake_score: number(data, 'deepfake_score') })

// ---- asking for a session ----

const REASON_OF_STATUS: Readonly<Record<number, Reason>> = {
  401: 'unauthorized', 403: 'forbidden', 429: 'unavailable', 502: 'unavailable', 503: 'unavailable', 504: 'unavailable',
}

/** POSTs `body` to `url`, which answers as the server's /auth/verify does. */
export async function requestSession(url: string, body: Data, key: string | null, signal: AbortSignal): Promise<Session> {
  const headers: Record<string, string> = { 'Content-Type': 'application/json' }
  if (key !== null && key !== '') headers['Authorization'] = `Bearer ${key}`
  let response: Response
  let answer: Data
  try {
    response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body), credentials: 'same-origin', cache: 'no-store', signal })
    answer = (await response.json().catch(() => ({}))) as Data
  } catch {
    throw new Failure('unreachable')
  }
  if (!response.ok) {
    const reason = REASON_OF_STATUS[response.status] ?? (response.status < 500 ? 'refused' : 'server_error')
    throw new Failure(reason, { status: response.status, message: text(answer, 'detail') || `HTTP ${response.status}` })
  }
  if (text(answer, 'websocket_url') === '') throw new Failure('refused', { message: 'no websocket_url' })
  return { session_id: text(answer, 'session_id'), websocket_url: text(answer, 'websocket_url') }
}

/** The WebSocket's address. A `server` that the page names replaces the host, which may be one of an inner network; a secure page needs a secure socket. */
export function socketAddress(session: Session, server: string | null): string {
  const url = new URL(session.websocket_url, server ?? location.href)
  if (server !== null) {
    const base = new URL(server, location.href)
    url.protocol = base.protocol
    url.host = base.host
  }
  const secure = url.protocol === 'https:' || url.protocol === 'wss:' || (server === null && location.protocol === 'https:')
  return url.href.replace(/^\w+:/, secure ? 'wss:' : 'ws:')
}

// ---- the session itself ----

const REASON_OF_WORDS: Readonly<Record<string, Reason>> = {
  'invalid session': 'invalid_session', 'session timeout': 'session_timeout', 'max failures': 'max_failures', 'replay attack detected': 'replay_detected',
  'invalid nonce': 'invalid_nonce', 'deepfake detected': 'deepfake_detected', 'too few challenges completed': 'not_shown', 'no gesture completed': 'not_shown',
  'no expression completed': 'not_shown',
}
const REASON_OF_CODE: Readonly<Record<number, Reason>> = { 1009: 'too_large', 1011: 'server_error', 1012: 'unavailable', 1013: 'unavailable' }

function nonceBytes(hex: string): Uint8Array | null {
  if (!/^[0-9a-f]{32}$/i.test(hex)) return null
  return Uint8Array.from({ length: NONCE_BYTES }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16))
}

/** A binary message: when it was taken (milliseconds, 8 bytes, little-endian), the challenge's nonce, a JPEG. */
export function frameMessage(stamp: number, nonce: Uint8Array, jpeg: ArrayBuffer): Uint8Array {
  const message = new Uint8Array(8 + NONCE_BYTES + jpeg.byteLength)
  new DataView(message.buffer).setBigUint64(0, BigInt(stamp), true)
  message.set(nonce, 8)
  message.set(new Uint8Array(jpeg), 8 + NONCE_BYTES)
  return message
}

/** One session over one WebSocket; `done` settles when it is over. The socket is closed when `signal` aborts. */
export class LiveSession {
  readonly done: Promise<Success>
  readonly #socket: WebSocket
  readonly #timers: ReturnType<typeof setInterval>[] = []
  #resolve!: (success: Success) => void
  #reject!: (reason: unknown) => void
  #nonce: Uint8Array | null = null
  #stamp = 0
  #busy = false
  #heardAt = performance.now()
  #opened = false

  constructor(address: string, readonly snapshots: Snapshots, readonly listener: Listener, signal: AbortSignal) {
    this.done = new Promise((resolve, reject) => ([this.#resolve, this.#reject] = [resolve, reject]))
    this.#socket = new WebSocket(address)
    this.#socket.addEventListener('open', () => this.#open())
    this.#socket.addEventListener('message', (event) => this.#hear(event.data))
    this.#socket.addEventListener('close', (event) => this.#closed(event))
    this.#timers.push(setInterval(() => this.#watch(), 500))
    signal.addEventListener('abort', () => this.#end())
  }

  /** The person is done with the challenge, or cannot do it. */
  skip(): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send('{"type":"challenge_complete"}')
  }

  #open(): void {
    this.#opened = true
    this.#heardAt = performance.now()
    this.#timers.push(setInterval(() => void this.#frame(), FRAME_EVERY_MS))
  }

  #end(): void {
    this.#timers.forEach(clearInterval)
    if (this.#socket.readyState <= WebSocket.OPEN) this.#socket.close(1000)
    this.snapshots.clear()
  }

  #watch(): void {
    const silence = performance.now() - this.#heardAt
    if (!this.#opened && silence > OPEN_WITHIN_MS) this.#reject(new Failure('connection_failed'))
    else if (this.#opened && silence > SILENCE_MS) this.#reject(new Failure('connection_lost'))
  }

  async #frame(): Promise<void> {
    const nonce = this.#nonce
    if (nonce === null || this.#busy || this.#socket.bufferedAmount > MOST_BUFFERED) return
    this.#busy = true
    const taken = Math.floor(performance.timeOrigin + performance.now()) // never goes back, as the clock of the day may
    const jpeg = await this.snapshots.jpeg().finally(() => (this.#busy = false))
    if (jpeg === null || this.#socket.readyState !== WebSocket.OPEN || nonce !== this.#nonce) return
    this.#stamp = Math.max(taken, this.#stamp + 1)
    this.#socket.send(frameMessage(this.#stamp, nonce, jpeg))
  }

  #hear(raw: unknown): void {
    this.#heardAt = performance.now()
    let message: Data
    try {
      message = JSON.parse(String(raw)) as Data
    } catch {
      return
    }
    const data = (typeof message['data'] === 'object' && message['data'] !== null ? message['data'] : {}) as Data
    switch (message['type']) {
      case 'challenge_issued': return this.#issued(data)
      case 'challenge_completed': return this.listener.ended(true)
      case 'challenge_failed': return this.listener.ended(false)
      case 'score_update': return this.#scores(data)
      case 'feedback': return this.#feedback(data)
      case 'verification_success': return this.#success(data)
      case 'verification_failed': return this.#failed(data)
    }
  }

  #issued(data: Data): void {
    this.#nonce = nonceBytes(text(data, 'nonce'))
    if (this.#nonce === null) return this.#reject(new Failure('server_error'))
    const instruction = text(data, 'instruction')
    this.listener.issued({
      name: text(data, 'challenge') || instruction, instruction, number: number(data, 'challenge_number') ?? 1, total: number(data, 'total_challenges') ?? 1,
      seconds: number(data, 'timeout_seconds') ?? 10,
    })
  }

  #scores(data: Data): void {
    const scores = scoresOf(data)
    this.listener.scores(scores, scores.liveness_score === null ? null : number(data, 'final_score')) // a sum without its largest part says nothing
  }

  #feedback(data: Data): void {
    this.#scores(data)
    this.listener.feedback({ face: data['face_present'] === true, faces: number(data, 'faces') ?? 0, hint: text(data, 'hint') || null })
  }

  #success(data: Data): void {
    this.#resolve({ token: text(data, 'token'), final_score: number(data, 'final_score') ?? 0, scores: scoresOf(data),
      expires_in_minutes: number(data, 'expires_in_minutes') ?? 0 })
  }

  #failed(data: Data): void {
    const words = text(data, 'reason')
    this.#reject(new Failure(REASON_OF_WORDS[words.toLowerCase()] ?? 'score_too_low',
      { message: words, final_score: number(data, 'final_score'), threshold: number(data, 'threshold'), scores: scoresOf(data) }))
  }

  #closed(event: CloseEvent): void {
    const reason = REASON_OF_WORDS[event.reason.toLowerCase()] ?? REASON_OF_CODE[event.code] ?? (this.#opened ? 'connection_lost' : 'connection_failed')
    this.#reject(new Failure(reason, { code: event.code }))
  }
}
