// Reading the server's metrics (Prometheus text) and what changed between two readings.

export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g

export function parseMetrics(text: string): Sample[] {
  const samples: Sample[] = []
  for (const line of text.split('\n')) {
    const found = line.startsWith('#') ? null : LINE.exec(line)
    if (found === null) continue
    const labels: Record<string, string> = {}
    for (const [, name, value] of (found[2] ?? '').matchAll(LABEL)) labels[name!] = value!.replace(/\\(.)/g, '$1')
    samples.push({ name: found[1]!, labels, value: Number(found[3]) })
  }
  return samples
}

export const gauge = (samples: Sample[], name: string): number => samples.find((s) => s.name === name)?.value ?? NaN

/** One reading, as far as the plots need it. Requests of this page's own watching and of pages' files are left out. */
export interface Reading {
  at: number
  requests: number
  errors: number
  buckets: Map<number, number> // upper bound in seconds -> requests up to it
  queue: number
  busy: number
  sessions: number // live ones
  frames: number // of live sessions, analysed so far
  dropped: number
  memory: number
}

const WATCHING = new Set(['', '/', '/metrics', '/health', '/livez', '/readyz', '/docs', '/openapi.json'])
const isWork = (s: Sample) => !WATCHING.has(s.labels['route'] ?? '')
const sum = (samples: Sample[]) => samples.reduce((total, s) => total + s.value, 0)

export function read(samples: Sample[], at: number): Reading {
  const requests = samples.filter((s) => s.name === 'mien_requests_total' && isWork(s))
  const buckets = new Map<number, number>()
  for (const s of samples) {
    if (s.name !== 'mien_request_duration_seconds_bucket' || !isWork(s)) continue
    const bound = s.labels['le'] === '+Inf' ? Infinity : Number(s.labels['le'])
    buckets.set(bound, (buckets.get(bound) ?? 0) + s.value)
  }
  return {
    at,
    requests: sum(requests),
    errors: sum(requests.filter((s) => Number(s.labels['status']) >= 500)),
    buckets,
    queue: gauge(samples, 'mien_queue_depth'),
    busy: gauge(samples, 'mien_workers_busy'),
    sessions: gauge(samples, 'mien_live_sessions'),
    frames: gauge(samples, 'mien_live_frames_total'),
    dropped: gauge(samples, 'mien_live_frames_dropped_total'),
    memory: gauge(samples, 'process_resident_memory_bytes'),
  }
}

/** The duration that the share `q` of the requests between two readings stayed below, interpolated within its bucket; null without requests. */
export function quantile(before: Reading, after: Reading, q: number): number | null {
  const bounds = [...after.buckets.keys()].sort((a, b) => a - b)
  const counts = bounds.map((b) => after.buckets.get(b)! - (before.buckets.get(b) ?? 0))
  const total = counts[counts.length - 1] ?? 0
  if (total <= 0) return null
  const rank = q * total
  const at = counts.findIndex((c) => c >= rank)
  const low = at > 0 ? bounds[at - 1]! : 0
  const high = bounds[at]!
  if (!Number.isFinite(high)) return low
  const below = at > 0 ? counts[at - 1]! : 0
  const inside = counts[at]! - below
  return low + (high - low) * (inside > 0 ? (rank - below) / inside : 1)
}

export interface ModelRow {
  model: string
  runs: number
  meanMs: number | null
}
export function models(samples: Sample[]): ModelRow[] {
  const seconds = new Map(samples.filter((s) => s.name === 'mien_inference_seconds_total').map((s) => [s.labels['model'], s.value]))
  return samples
    .filter((s) => s.name === 'mien_inference_runs_total')
    .map((s) => ({
      model: s.labels['model'] ?? '',
      runs: s.value,
      meanMs: s.value > 0 ? ((seconds.get(s.labels['model']) ?? 0) / s.value) * 1000 : null,
    }))
}
