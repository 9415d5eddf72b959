// A line over time, small: one or two series, the scale's top and bottom, the newest value in words. Gaps (null) stay gaps.
import { useId } from 'react'

export interface Series {
  name: string
  points: { at: number; value: number | null }[]
}

const WIDTH = 320
const HEIGHT = 88

/** The next of 1, 2, 5 times a power of ten: a scale that does not jump with every value. */
function roundUp(v: number): number {
  if (v <= 0) return 1
  const power = 10 ** Math.floor(Math.log10(v))
  return ([1, 2, 5, 10].find((m) => m * power >= v * 0.9999) ?? 10) * power
}

function paths(points: Series['points'], from: number, to: number, top: number): { line: string; area: string } {
  const runs: string[][] = [[]]
  for (const p of points) {
    if (p.value === null) {
      if (runs[runs.length - 1]!.length > 0) runs.push([])
      continue
    }
    const x = ((p.at - from) / Math.max(1, to - from)) * WIDTH
    const y = HEIGHT - Math.min(1, p.value / top) * (HEIGHT - 4) - 1
    runs[runs.length - 1]!.push(`${x.toFixed(1)} ${y.toFixed(1)}`)
  }
  const drawn = runs.filter((r) => r.length > 0).map((r) => (r.length === 1 ? [r[0]!, r[0]!] : r))
  return {
    line: drawn.map((r) => 'M' + r.join('L')).join(''),
    area: drawn.map((r) => `M${r[0]!.split(' ')[0]} ${HEIGHT}L${r.join('L')}L${r[r.length - 1]!.split(' ')[0]} ${HEIGHT}Z`).join(''),
  }
}

export function Plot({ title, series, span, format, least = 1, testId }: {
  title: string
  series: Series[]
  /** Milliseconds that the width stands for. */
  span: number
  format: (v: number) => string
  /** The scale's top is at least this. */
  least?: number
  testId: string
}) {
  const id = useId()
  const newest = series.map((s) => s.points.filter((p) => p.value !== null).at(-1)?.value ?? null)
  const values = series.flatMap((s) => s.points.map((p) => p.value ?? 0))
  const top = roundUp(Math.max(least, ...values))
  const to = Math.max(0, ...series.flatMap((s) => s.points.map((p) => p.at)))
  const now = series.map((s, i) => (series.length > 1 ? s.name + ' ' : '') + (newest[i] == null ? '–' : format(newest[i]!))).join(' · ')
  const high = Math.max(0, ...values)
  return (
    <figure data-testid={testId} className="rounded-2xl border border-line bg-surface p-4 shadow-card">
      <figcaption id={id} className="mb-3 flex flex-wrap items-baseline justify-between gap-x-3">
        <span className="text-sm text-muted">{title}</span>
        <span className="font-semibold tabular-nums">{now}</span>
      </figcaption>
      <div className="relative">
        <svg
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`${title}: now ${now}; highest in the time shown ${format(high)}`}
          className="h-24 w-full overflow-visible"
        >
          {[0, 0.5, 1].map((f) => (
            <line key={f} x1="0" x2={WIDTH} y1={HEIGHT - f * (HEIGHT - 4) - 1} y2={HEIGHT - f * (HEIGHT - 4) - 1} className="stroke-line" strokeWidth="1" vectorEffect="non-scaling-stroke" />
          ))}
          {series.map((s, i) => {
            const { line, area } = paths(s.points, to - span, to, top)
            return (
              <g key={s.name} className={i === 0 ? 'text-accent' : 'text-warn'}>
                {i === 0 && <path d={area} className="fill-current" opacity="0.13" />}
                <path d={line} fill="none" className="stroke-current" strokeWidth="2" strokeLinejoin="round" strokeLinecap="round" strokeDasharray={i === 0 ? undefined : '4 3'} vectorEffect="non-scaling-stroke" />
              </g>
            )
          })}
        </svg>
        <span aria-hidden="true" className="absolute left-0 top-0 -translate-y-1/3 bg-surface pr-1 text-xs text-muted tabular-nums">{format(top)}</span>
      </div>
      <div aria-hidden="true" className="mt-1.5 flex justify-between text-xs text-muted">
        <span>{Math.round(span / 60000) === 1 ? '1 minute ago' : `${Math.round(span / 60000)} minutes ago`}</span>
        <span>now</span>
      </div>
      <div aria-hidden="true" className="mt-1 min-h-4 text-xs text-muted">
        {series.length > 1 && (
          <span className="flex gap-3">
            {series.map((s, i) => (
              <span key={s.name} className="flex items-center gap-1.5">
                <svg width="16" height="4" className={i === 0 ? 'text-accent' : 'text-warn'}><line x1="0" x2="16" y1="2" y2="2" className="stroke-current" strokeWidth="2" strokeDasharray={i === 0 ? undefined : '4 3'} /></svg>
                {s.name}
              </span>
            ))}
          </span>
        )}
      </div>
    </figure>
  )
}
