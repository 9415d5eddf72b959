// Calls to the server that served this page. The API key lives in sessionStorage only: it is gone with the tab.

export interface Box {
  x: number
  y: number
  width: number
  height: number
}
export interface Point {
  x: number
  y: number
}
export interface Quality {
  score: number
  blur: number
  pose_yaw: number
  pose_pitch: number
  pose_roll: number
  face_size: number
  is_frontal: boolean
}
export interface DetectedFace {
  bounding_box: Box
  confidence: number
  landmarks: Record<'left_eye' | 'right_eye' | 'nose' | 'mouth_left' | 'mouth_right', Point>
}
export interface AnalyzedFace {
  bbox: [number, number, number, number]
  detection_score: number
  quality: Quality
  age: number | null
  gender: string | null
  emotion: string | null
  emotions: Record<string, number> | null
  liveness: {
    is_live: boolean
    confidence: number
    antispoof_score: number | null
    checks: Record<string, number | Record<string, number>>
  } | null
}
export interface Comparison {
  similarity: number
  match: boolean
  threshold: number
  confidence: number
  quality_1: Quality
  quality_2: Quality
  model: string
  processing_time_ms: number
}
export interface User {
  user_id: string
  name: string | null
  enrolled_at: string
  templates: number
}
export interface Enrolment {
  user_id: string
  success: boolean
  message: string
  quality: Quality | null
  faces_detected: number
}
export interface Match {
  user_id: string
  similarity: number
  confidence: number
  name: string | null
}
export interface Health {
  status: string
  version: string
  uptime_seconds: number
  model_loaded: boolean
  model_name: string | null
  redis_connected: boolean
  gallery_size: number
  match_threshold: number | null
  services: { api: string; database: string }
}

/** What the server answered instead of a result, in its own words. */
export class Problem extends Error {
  readonly status: number
  readonly code: string
  readonly retryAfter: number | null
  constructor(status: number, code: string, message: string, retryAfter: number | null = null) {
    super(message)
    this.name = 'Problem'
    this.status = status
    this.code = code
    this.retryAfter = retryAfter
  }
}

const KEY = 'mien-api-key'
let key: string | null = null
try {
  key = sessionStorage.getItem(KEY)
} catch {
  // storage may be switched off; then the key holds until the page is left
}

export const apiKey = (): string | null => key

export function setApiKey(value: string | null): void {
  key = value
  try {
    if (value === null) sessionStorage.removeItem(KEY)
    else sessionStorage.setItem(KEY, value)
  } catch {
    // as above
  }
  dispatchEvent(new Event('mien-key'))
}

/** Asks the person for a key; resolves with false when none was given. The page's shell sets it (key.tsx). */
let ask: ((why: Problem) => Promise<boolean>) | null = null
export function onKeyNeeded(asker: typeof ask): void {
  ask = asker
}

async function problemOf(response: Response): Promise<Problem> {
  const retry = Number(response.headers.get('Retry-After'))
  let code = 'http_' + response.status
  let message = `The server answered with status ${response.status}.`
  try {
    const body = (await response.json()) as { code?: string; detail?: string; title?: string }
    if (body.code !== undefined) code = body.code
    message = body.detail ?? body.title ?? message
  } catch {
    // no JSON: the status must do
  }
  return new Problem(response.status, code, message, Number.isFinite(retry) && retry > 0 ? retry : null)
}

interface Options {
  method?: string
  body?: BodyInit
  type?: string
  signal?: AbortSignal
  /** Whether a missing key is asked for (default) or just reported: for what runs by itself. */
  askForKey?: boolean
}

export async function request(path: string, options: Options = {}): Promise<Response> {
  for (;;) {
    const headers: Record<string, string> = { Accept: 'application/json' }
    if (options.type !== undefined && options.type !== '') headers['Content-Type'] = options.type
    if (key !== null) headers['X-API-Key'] = key
    let response: Response
    try {
      response = await fetch(path, {
        method: options.method ?? 'GET',
        headers,
        cache: 'no-store',
        credentials: 'omit',
        ...(options.body !== undefined && { body: options.body }),
        ...(options.signal !== undefined && { signal: options.signal }),
      })
    } catch (e) {
      if (e instanceof DOMException && e.name === 'AbortError') throw e
      throw new Problem(0, 'unreachable', 'The server cannot be reached. Is it still running, and are you online?')
    }
    if (response.ok) return response
    const problem = await problemOf(response)
    const lacksKey = problem.status === 401 || (problem.status === 403 && problem.message.includes('scope'))
    if (!lacksKey || options.askForKey === false || ask === null || !(await ask(problem))) throw problem
  }
}

async function json<T>(path: string, options?: Options): Promise<T> {
  return (await (await request(path, options)).json()) as T
}

const photo = (image: Blob, signal?: AbortSignal): Options => ({
  method: 'POST',
  body: image,
  type: image.type || 'application/octet-stream',
  ...(signal !== undefined && { signal }),
})

export const detect = (image: Blob, signal?: AbortSignal) => json<{ faces: DetectedFace[] }>('/detect', photo(image, signal))
export const analyze = (image: Blob, signal?: AbortSignal) =>
  json<{ faces: AnalyzedFace[]; processing_time_ms: number }>('/analyze', photo(image, signal))
export const search = (image: Blob, top: number) =>
  json<{ matches: Match[]; threshold: number; faces_detected: number }>(`/search?top_k=${top}`, photo(image))

export function compare(first: Blob, second: Blob, signal?: AbortSignal): Promise<Comparison> {
  const body = new FormData()
  body.append('image_1', first)
  body.append('image_2', second)
  return json('/compare', { method: 'POST', body, ...(signal !== undefined && { signal }) })
}

export function enroll(id: string, name: string, image: Blob, append: boolean): Promise<Enrolment> {
  const body = new FormData()
  body.append('user_id', id)
  if (name !== '') body.append('name', name)
  if (append) body.append('append', 'true')
  body.append('image', image)
  return json('/enroll', { method: 'POST', body })
}

export function users(limit: number, cursor: string | null): Promise<{ users: User[]; total: number; cursor: string | null }> {
  return json(`/gallery?limit=${limit}` + (cursor !== null ? `&cursor=${encodeURIComponent(cursor)}` : ''))
}

export const unenroll = (id: string) => json<{ deleted: boolean }>(`/enroll/${encodeURIComponent(id)}`, { method: 'DELETE' })

/** Health has its body also when the server says 503. */
export async function health(): Promise<Health> {
  const response = await fetch('/health', { cache: 'no-store', credentials: 'omit' })
  return (await response.json()) as Health
}
export const metricsText = async () => (await request('/metrics', { askForKey: false })).text()

/** Words for an error that came from any of the above. */
export function wordsOf(e: unknown): string {
  if (!(e instanceof Problem)) return 'Something went wrong on this page. Reload it and try again.'
  const sentence = e.message.endsWith('.') ? e.message : e.message + '.'
  switch (e.code) {
    case 'unauthorized':
      return 'This needs an API key that the server knows.'
    case 'invalid_image':
      return sentence + ' JPEG, PNG, WebP, BMP and GIF can be read.'
    case 'too_large':
      return 'The photo is too large: at most 10 MiB and 50 megapixels, unless the server is set otherwise.'
    case 'rate_limited':
    case 'overloaded':
      return `The server is busy. Try again in ${e.retryAfter ?? 'a few'} second${e.retryAfter === 1 ? '' : 's'}.`
    case 'model_unavailable':
      return 'A model that this needs is not installed on the server.'
    case 'store_unavailable':
      return 'The gallery\u2019s store does not answer. Nothing was changed.'
    default:
      return sentence
  }
}
