// How the server does: health, models, and its metrics over the last minutes. Reads while the page is visible.
import { useEffect, useState } from 'react'
import { Problem, health, metricsText, wordsOf } from './api'
import type { Health } from './api'
import { openKeyDialog, useHasKey } from './key'
import { models, parseMetrics, quantile, read } from './metrics'
import type { ModelRow, Reading } from './metrics'
import { Plot } from './plot'
import { Button, Card, Live, Notice, SectionHead, Spinner } from './ui'

const EVERY_MS = 2000
const SPAN_MS = 5 * 60_000

function duration(seconds: number): string {
  const parts = [
    [Math.floor(seconds / 86400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [Math.floor(seconds) % 60, 's'],
  ] as const
  const first = parts.findIndex(([n]) => n > 0)
  return first < 0 ? '0 s' : parts.slice(first, first + 2).map(([n, unit]) => `${n} ${unit}`).join(' ')
}

const ms = (v: number) => (v < 9.95 ? v.toFixed(1) : Math.round(v).toString()) + ' ms'
const rate = (v: number) => (v < 9.95 && v !== Math.round(v) ? v.toFixed(1) : Math.round(v).toString()) + ' /s'
const count = (v: number) => Math.round(v).toString()
const mebibytes = (v: number) => Math.round(v) + ' MiB'

interface Watched {
  health: Health | null
  unreachable: boolean
  readings: Reading[]
  models: ModelRow[]
  metrics: 'waiting' | 'read' | 'locked' | string
}

/** Reads health and metrics every two seconds, while somebody looks. */
function useWatch(): Watched {
  const [watched, setWatched] = useState<Watched>({ health: null, unreachable: false, readings: [], models: [], metrics: 'waiting' })
  const hasKey = useHasKey()
  useEffect(() => {
    let left = false
    let locked = false // then only a key, which begins this anew, makes asking again worth while
    let timer = 0
    const look = async () => {
      const [h, m] = await Promise.allSettled([health(), locked ? null : metricsText()])
      if (left) return
      locked ||= m.status === 'rejected' && m.reason instanceof Problem && (m.reason.status === 401 || m.reason.status === 403)
      setWatched((old) => {
        const next: Watched = { ...old, health: h.status === 'fulfilled' ? h.value : old.health, unreachable: h.status === 'rejected' }
        if (locked) return { ...next, metrics: 'locked' }
        if (m.status === 'rejected') return { ...next, metrics: old.metrics === 'read' ? 'read' : wordsOf(m.reason) }
        if (m.value === null) return next
        const samples = parseMetrics(m.value)
        const now = read(samples, Date.now())
        const last = old.readings.at(-1)
        const restarted = last !== undefined && now.requests < last.requests
        const kept = restarted ? [] : old.readings.filter((r) => r.at > now.at - SPAN_MS)
        return { ...next, metrics: 'read', models: models(samples), readings: [...kept, now] }
      })
      schedule()
    }
    const schedule = () => {
      clearTimeout(timer)
      if (!left && !document.hidden) timer = window.setTimeout(() => void look(), EVERY_MS)
    }
    const shown = () => !document.hidden && void look()
    void look()
    document.addEventListener('visibilitychange', shown)
    return () => {
      left = true
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', shown)
    }
  }, [hasKey])
  return watched
}

const pairs = (readings: Reading[]) => readings.slice(1).map((after, i) => ({ before: readings[i]!, after }))

function Plots({ readings }: { readings: Reading[] }) {
  const changes = pairs(readings)
  const perSecond = (of: (r: Reading) => number) =>
    changes.map(({ before, after }) => ({ at: after.at, value: (of(after) - of(before)) / Math.max(0.001, (after.at - before.at) / 1000) }))
  const latency = (q: number) =>
    changes.map(({ before, after }) => {
      const seconds = quantile(before, after, q)
      return { at: after.at, value: seconds === null ? null : seconds * 1000 }
    })
  const plain = (of: (r: Reading) => number) => readings.map((r) => ({ at: r.at, value: Number.isFinite(of(r)) ? of(r) : null }))
  const seen = (readings.at(-1)?.at ?? 0) - (readings[0]?.at ?? 0)
  const span = Math.min(SPAN_MS, Math.max(1, Math.ceil(seen / 60_000)) * 60_000)
  return (
    <div className="grid gap-4 sm:grid-cols-2">
      <Plot testId="plot-requests" title="Requests" span={span} format={rate} series={[{ name: 'all', points: perSecond((r) => r.requests) }]} />
      <Plot testId="plot-latency" title="Time to answer" span={span} format={ms} least={50} series={[{ name: 'median', points: latency(0.5) }, { name: '95 %', points: latency(0.95) }]} />
      <Plot testId="plot-queue" title="Load" span={span} format={count} least={2} series={[{ name: 'busy workers', points: plain((r) => r.busy) }, { name: 'waiting', points: plain((r) => r.queue) }]} />
      <Plot testId="plot-memory" title="Memory" span={span} format={mebibytes} least={100} series={[{ name: 'resident', points: plain((r) => r.memory / 2 ** 20) }]} />
      <Plot testId="plot-sessions" title="Live sessions" span={span} format={count} least={2} series={[{ name: 'open', points: plain((r) => r.sessions) }]} />
      <Plot testId="plot-frames" title="Their frames" span={span} format={rate} series={[{ name: 'analysed', points: perSecond((r) => r.frames) }, { name: 'left out', points: perSecond((r) => r.dropped) }]} />
    </div>
  )
}

function ModelTable({ rows }: { rows: ModelRow[] }) {
  return (
    <Card title="Models">
      <div className="-mx-4 overflow-x-auto px-4 sm:mx-0 sm:px-0" tabIndex={0} role="group" aria-label="Table of models">
        <table className="w-full text-[0.9375rem]" data-testid="models">
          <thead className="text-left text-sm text-muted">
            <tr className="border-b border-line">
              <th className="pb-2 pr-4 font-normal" scope="col">Network</th>
              <th className="pb-2 pr-3 text-right font-normal" scope="col">Runs</th>
              <th className="pb-2 text-right font-normal" scope="col">Mean</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((r) => (
              <tr key={r.model} className="border-b border-line last:border-0">
                <th scope="row" className="py-2 pr-3 text-left font-mono text-sm font-normal break-all">{r.model}</th>
                <td className="py-2 pr-3 text-right tabular-nums">{r.runs.toLocaleString()}</td>
                <td className="whitespace-nowrap py-2 text-right tabular-nums">{r.meanMs === null ? '–' : r.meanMs.toFixed(2) + ' ms'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  )
}

const DATABASE: Record<string, string> = { up: 'up', down: 'down', not_configured: 'none' }

function HealthFacts({ h }: { h: Health }) {
  const facts = [
    ['Version', h.version],
    ['Running for', duration(h.uptime_seconds)],
    ['Enrolled people', h.gallery_size.toLocaleString()],
    ['Gallery store', DATABASE[h.services.database] ?? h.services.database],
    ['Redis', h.redis_connected ? 'connected' : 'not used'],
    ['Recognition model', h.model_name ?? 'not installed'],
    ['Match threshold', h.match_threshold?.toFixed(3) ?? '–'],
  ] as const
  return (
    <dl className="mt-5 grid grid-cols-2 gap-x-6 gap-y-4 sm:grid-cols-3 lg:grid-cols-4">
      {facts.map(([name, value]) => (
        <div key={name} className="min-w-0">
          <dt className="text-sm text-muted">{name}</dt>
          <dd className="truncate font-medium tabular-nums" title={value}>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

export default function Status() {
  const { health: h, unreachable, readings, models: rows, metrics } = useWatch()
  const state = unreachable ? 'unreachable' : h?.status ?? ''
  return (
    <>
      <SectionHead title="Status">How this server does, read anew every two seconds.</SectionHead>
      <div className="space-y-5">
        <Card>
          <Live>
            {state === '' && <p className="flex min-h-dvh items-start gap-3 text-muted"><Spinner /> Asking the server…</p>}
            {state === 'healthy' && <Notice tone="good" title="Healthy" testId="health">Every part works.</Notice>}
            {state === 'unreachable' && <Notice tone="bad" title="The server does not answer" testId="health">It may have been stopped. This page goes on trying.</Notice>}
            {state !== '' && state !== 'healthy' && state !== 'unreachable' && (
              <Notice tone="bad" title="Not healthy" testId="health">A model is missing, the gallery’s store does not answer, or the server is stopping.</Notice>
            )}
          </Live>
          {h !== null && <HealthFacts h={h} />}
        </Card>
        {metrics === 'locked' ? (
          <Notice
            tone="info"
            title="Metrics need an API key"
            testId="metrics-locked"
            action={<Button variant="primary" onClick={openKeyDialog}>Enter a key</Button>}
          >
            The key must have the scope <code className="font-mono text-sm">admin</code>.
          </Notice>
        ) : metrics === 'read' ? (
          <>
            <section aria-labelledby="metrics-title">
              <h2 id="metrics-title" className="sr-only">Metrics</h2>
              <Plots readings={readings} />
            </section>
            <ModelTable rows={rows} />
          </>
        ) : (
          metrics !== 'waiting' && !unreachable && <Notice tone="bad" title="The metrics could not be read">{metrics}</Notice>
        )}
      </div>
    </>
  )
}
