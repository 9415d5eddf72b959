// Photos to try the server with: everything about the faces of one, and whether two show the same person.
import { useEffect, useState } from 'react'
import { analyze, compare, detect, wordsOf } from './api'
import type { AnalyzedFace, Comparison, DetectedFace } from './api'
import { Person } from './icons'
import { PhotoInput } from './photo'
import type { Size } from './photo'
import { Badge, Button, Card, Empty, Live, Meter, Notice, SectionHead, Spinner, TabPanel, Tabs } from './ui'

type Face = AnalyzedFace & { points: DetectedFace['landmarks'] | null }

interface Analysis {
  faces: Face[]
  ms: number
}

const TABS = [
  { id: 'one', label: 'One photo' },
  { id: 'two', label: 'Compare two' },
] as const

/** /analyze has no landmarks, /detect has; the boxes are the same numbers in both. */
function join(analyzed: AnalyzedFace[], detected: DetectedFace[]): Face[] {
  return analyzed.map((face) => {
    const [x1, y1, x2, y2] = face.bbox
    const off = (d: DetectedFace) => Math.abs(d.bounding_box.x - x1) + Math.abs(d.bounding_box.y - y1) +
      Math.abs(d.bounding_box.x + d.bounding_box.width - x2) + Math.abs(d.bounding_box.y + d.bounding_box.height - y2)
    const found = detected.find((d) => off(d) <= 8)
    return { ...face, points: found?.landmarks ?? null }
  })
}

const faceWords = (f: Face) => [
  f.age !== null ? `${f.age} years` : null,
  f.gender !== null ? { M: 'man', F: 'woman' }[f.gender] ?? f.gender : null,
  f.liveness !== null ? (f.liveness.is_live ? 'live' : 'not live') : null,
].filter((w) => w !== null)

/** Boxes, points and labels in photo pixels; `k` of them make a screen pixel. */
function Faces({ faces, selected, onSelect, size, k }: { faces: Face[]; selected: number; onSelect: (i: number) => void; size: Size; k: number }) {
  return (
    <svg viewBox={`0 0 ${size.width} ${size.height}`} className="absolute inset-0 size-full" aria-hidden="true" data-testid="faces-overlay">
      {faces.map((face, i) => {
        const [x1, y1, x2, y2] = face.bbox
        const chosen = i === selected
        const live = face.liveness?.is_live
        const colour = live === undefined ? '#ffffff' : live ? '#8be3d7' : '#ffb4ab'
        const roomy = (x2 - x1) / k > 64
        const words = `${i + 1}` + (chosen || roomy ? ['', ...faceWords(face)].join(' · ') : '')
        const wide = (words.length * (chosen ? 6.9 : 6.3) + 14) * k
        const left = Math.max(0, Math.min(x1, size.width - wide))
        const above = y1 > 26 * k ? y1 - 24 * k : Math.min(y2 + 4 * k, size.height - 22 * k)
        return (
          <g key={i} onClick={() => onSelect(i)} className="cursor-pointer" data-testid="face-box">
            <rect x={x1} y={y1} width={x2 - x1} height={y2 - y1} rx={6 * k} fill="transparent" stroke="#00000099" strokeWidth={(chosen ? 6 : 4) * k} />
            <rect x={x1} y={y1} width={x2 - x1} height={y2 - y1} rx={6 * k} fill="none" stroke={colour} strokeWidth={(chosen ? 3 : 1.5) * k} />
            {face.points !== null &&
              Object.entries(face.points).map(([name, p]) => (
                <circle key={name} cx={p.x} cy={p.y} r={(chosen ? 3.5 : 2.5) * k} fill={colour} stroke="#000000b0" strokeWidth={1.2 * k} />
              ))}
            <rect x={left} y={above} width={wide} height={20 * k} rx={5 * k} fill="#0c1312" fillOpacity={chosen ? 0.92 : 0.8} />
            <text x={left + 6 * k} y={above + 14.2 * k} fontSize={12.5 * k} fontWeight={chosen ? 600 : 400} fill={colour}>{words}</text>
          </g>
        )
      })}
    </svg>
  )
}

const CHECKS: Record<string, string> = {
  screen_pattern: 'No screen or print pattern',
  color_distribution: 'Colours of skin and light',
  face_proportion: 'Face in proportion to the photo',
  detection_confidence: 'Certainty of the face',
  texture_complexity: 'Texture',
}

const toneOf = (v: number) => (v >= 0.6 ? 'good' : v >= 0.35 ? 'warn' : 'bad')

function FaceDetails({ face }: { face: Face }) {
  const q = face.quality
  const emotions = Object.entries(face.emotions ?? {}).sort((a, b) => b[1] - a[1]).slice(0, 3)
  const facts = [
    ['Age', face.age !== null ? `about ${face.age}` : 'no model'],
    ['Gender', face.gender === null ? 'no model' : face.gender === 'F' ? 'female' : face.gender === 'M' ? 'male' : face.gender],
    ['Size', `${face.bbox[2] - face.bbox[0]} × ${face.bbox[3] - face.bbox[1]} px`],
    ['Head', `${Math.abs(q.pose_yaw).toFixed(0)}° sideways, ${Math.abs(q.pose_pitch).toFixed(0)}° ${q.pose_pitch < 0 ? 'down' : 'up'}, ${Math.abs(q.pose_roll).toFixed(0)}° tilted`],
  ] as const
  return (
    <div className="space-y-6">
      <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-6 gap-y-1 text-[0.9375rem]">
        {facts.map(([name, value]) => (
          <div key={name} className="contents">
            <dt className="text-muted">{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <div className="space-y-3">
        <Meter label="Quality" value={q.score} tone={toneOf(q.score)} testId="face-quality" />
        <Meter label="Sharpness" value={1 - q.blur} />
        <Meter label="Certainty of the detector" value={face.detection_score} />
      </div>
      <div className="space-y-3">
        <h3 className="flex items-center justify-between gap-2 font-semibold">
          Liveness
          {face.liveness !== null && (
            <Badge tone={face.liveness.is_live ? 'good' : 'bad'} testId="face-live">{face.liveness.is_live ? 'Live capture' : 'Not a live capture'}</Badge>
          )}
        </h3>
        {face.liveness === null ? (
          <p className="text-[0.9375rem] text-muted">No anti-spoofing model is installed.</p>
        ) : (
          <>
            <Meter label="Confidence" value={face.liveness.confidence} mark={0.55} tone={face.liveness.is_live ? 'good' : 'bad'} testId="face-liveness" />
            <details className="text-[0.9375rem]">
              <summary className="rounded py-1 text-muted">What it is made of</summary>
              <div className="mt-2 space-y-3">
                {face.liveness.antispoof_score !== null && <Meter label="Anti-spoofing networks" value={face.liveness.antispoof_score} />}
                {Object.entries(face.liveness.checks).map(([name, value]) => typeof value === 'number' && <Meter key={name} label={CHECKS[name] ?? name} value={value} />)}
              </div>
            </details>
          </>
        )}
      </div>
      {emotions.length > 0 && (
        <div className="space-y-3">
          <h3 className="font-semibold">Expression</h3>
          {emotions.map(([name, value]) => <Meter key={name} label={name[0]!.toUpperCase() + name.slice(1)} value={value} text={`${Math.round(value * 100)} %`} />)}
        </div>
      )}
    </div>
  )
}

function OnePhoto() {
  const [photo, setPhoto] = useState<Blob | null>(null)
  const [result, setResult] = useState<Analysis | null>(null)
  const [wrong, setWrong] = useState<string | null>(null)
  const [selected, setSelected] = useState(0)
  useEffect(() => {
    setResult(null)
    setWrong(null)
    setSelected(0)
    if (photo === null) return
    const left = new AbortController()
    Promise.all([analyze(photo, left.signal), detect(photo, left.signal)]).then(
      ([a, d]) => !left.signal.aborted && setResult({ faces: join(a.faces, d.faces), ms: a.processing_time_ms }),
      (e: unknown) => !left.signal.aborted && setWrong(wordsOf(e)),
    )
    return () => left.abort()
  }, [photo])
  const face = result?.faces[selected]
  const count = result?.faces.length ?? 0
  return (
    <div className="grid items-start gap-5 lg:grid-cols-[minmax(0,1fr)_23rem]">
      <Card>
        <PhotoInput
          label="Photo with one or more faces"
          testId="photo"
          pastes
          value={photo}
          onChange={setPhoto}
          {...(result !== null && { overlay: (size, k) => <Faces faces={result.faces} selected={selected} onSelect={setSelected} size={size} k={k} /> })}
        />
      </Card>
      <Card title="Result" aside={result !== null && <span className="text-sm text-muted tabular-nums">{result.ms} ms</span>}>
        <Live>
          {photo === null ? (
            <Empty icon={<Person className="size-6" />} title="No photo yet">Quality, age, expression and liveness of each face appear here.</Empty>
          ) : wrong !== null ? (
            <Notice tone="bad" title="The photo could not be analysed" testId="analyze-error">{wrong}</Notice>
          ) : result === null ? (
            <p className="flex items-center gap-3 py-8 text-muted"><Spinner /> Analysing…</p>
          ) : count === 0 ? (
            <Notice tone="warn" title="No face was found" testId="no-face">Try a photo in which a face is larger, or better lit.</Notice>
          ) : (
            <p data-testid="face-count" className={count > 1 ? 'mb-3 text-[0.9375rem] text-muted' : 'sr-only'}>{count === 1 ? '1 face found.' : `${count} faces found. Choose one:`}</p>
          )}
        </Live>
        {count > 1 && (
          <div role="group" aria-label="Faces" className="mb-5 flex flex-wrap gap-2">
            {result!.faces.map((f, i) => (
              <Button
                key={i}
                variant={i === selected ? 'primary' : 'secondary'}
                aria-pressed={i === selected}
                aria-label={[`Face ${i + 1}`, ...faceWords(f)].join(', ')}
                className="min-w-11 px-3"
                data-testid={'face-' + (i + 1)}
                onClick={() => setSelected(i)}
              >
                {i + 1}
              </Button>
            ))}
          </div>
        )}
        {face !== undefined && <FaceDetails face={face} />}
      </Card>
    </div>
  )
}

function Verdict({ result }: { result: Comparison }) {
  return (
    <div className="grid gap-6 md:grid-cols-[minmax(0,1fr)_minmax(0,1fr)] md:items-center">
      <Notice tone={result.match ? 'good' : 'bad'} title={result.match ? 'The same person' : 'Different people'} testId="compare-verdict">
        {result.match ? 'The faces are more alike than the threshold asks for.' : 'The faces are less alike than the threshold asks for.'}
      </Notice>
      <div className="space-y-3">
        <Meter label="Similarity (cosine)" value={result.similarity} mark={result.threshold} text={result.similarity.toFixed(3).replace('-', '−')} tone={result.match ? 'good' : 'bad'} testId="compare-similarity" />
        <Meter label="Confidence" value={result.confidence} />
        <p className="text-sm text-muted">
          Quality {result.quality_1.score.toFixed(2)} and {result.quality_2.score.toFixed(2)} · {result.model} · {result.processing_time_ms} ms
        </p>
      </div>
    </div>
  )
}

function TwoPhotos() {
  const [first, setFirst] = useState<Blob | null>(null)
  const [second, setSecond] = useState<Blob | null>(null)
  const [result, setResult] = useState<Comparison | null>(null)
  const [wrong, setWrong] = useState<string | null>(null)
  useEffect(() => {
    setResult(null)
    setWrong(null)
    if (first === null || second === null) return
    const left = new AbortController()
    compare(first, second, left.signal).then(
      (r) => !left.signal.aborted && setResult(r),
      (e: unknown) => !left.signal.aborted && setWrong(wordsOf(e)),
    )
    return () => left.abort()
  }, [first, second])
  const both = first !== null && second !== null
  return (
    <div className="space-y-5">
      <div className="grid gap-5 md:grid-cols-2">
        <Card><PhotoInput compact label="First photo" testId="photo-1" value={first} onChange={setFirst} /></Card>
        <Card><PhotoInput compact label="Second photo" testId="photo-2" value={second} onChange={setSecond} /></Card>
      </div>
      <Card title="Result">
        <Live>
          {!both ? (
            <p className="text-muted">Two photos are compared as soon as both are here. In each, the face of the best quality counts.</p>
          ) : wrong !== null ? (
            <Notice tone="bad" title="The photos could not be compared" testId="compare-error">{wrong}</Notice>
          ) : result === null ? (
            <p className="flex items-center gap-3 text-muted"><Spinner /> Comparing…</p>
          ) : (
            <Verdict result={result} />
          )}
        </Live>
      </Card>
    </div>
  )
}

export default function TryIt() {
  const [tab, setTab] = useState<(typeof TABS)[number]['id']>('one')
  return (
    <>
      <SectionHead title="Try it">See what the server finds in a photo, or whether two photos show the same person.</SectionHead>
      <Tabs label="What to try" tabs={TABS} selected={tab} onSelect={setTab} />
      <TabPanel id={tab}>{tab === 'one' ? <OnePhoto /> : <TwoPhotos />}</TabPanel>
    </>
  )
}
