// Who is enrolled: the list, enrolling, searching by a photo, and removing.
import { useCallback, useEffect, useRef, useState } from 'react'
import type { FormEvent } from 'react'
import { enroll, search, unenroll, users, wordsOf } from './api'
import type { Match, User } from './api'
import { Check, Cross, People, Person, Photo as PhotoIcon, Trash } from './icons'
import { useHasKey } from './key'
import { PhotoInput, useObjectUrl } from './photo'
import { Button, Card, Dialog, Empty, Field, Live, Meter, Notice, SectionHead, Spinner, TabPanel, Tabs } from './ui'

const PAGE = 20
type Tab = 'people' | 'enrol' | 'search'

/* ---- people ---- */

interface Page {
  users: User[]
  total: number
  cursor: string | null
}

function day(iso: string): string {
  const date = new Date(iso)
  return Number.isNaN(date.getTime()) ? iso : date.toLocaleDateString(undefined, { year: 'numeric', month: 'short', day: 'numeric' })
}

function RemoveDialog({ user, onClose, onRemoved }: { user: User | null; onClose: () => void; onRemoved: (user: User) => void }) {
  const [busy, setBusy] = useState(false)
  const [wrong, setWrong] = useState<string | null>(null)
  useEffect(() => setWrong(null), [user])
  const remove = async () => {
    if (user === null) return
    setBusy(true)
    try {
      await unenroll(user.user_id)
      onRemoved(user)
    } catch (e) {
      setWrong(wordsOf(e))
    } finally {
      setBusy(false)
    }
  }
  return (
    <Dialog open={user !== null} onClose={onClose} title="Remove this person?" testId="remove-dialog">
      <p className="break-words">
        <strong>{user?.name ?? user?.user_id}</strong>
        {user?.name != null && <span className="text-muted"> ({user.user_id})</span>} will no longer be found. Every template is erased; this cannot be undone.
      </p>
      {wrong !== null && <p role="alert" className="mt-3 text-bad">{wrong}</p>}
      <div className="mt-5 flex flex-wrap justify-end gap-2">
        <Button onClick={onClose} autoFocus>Keep</Button>
        <Button variant="danger" busy={busy} onClick={remove} data-testid="remove-confirm"><Trash /> Remove</Button>
      </div>
    </Dialog>
  )
}

function PeopleList({ onTotal, onEnrol }: { onTotal: (total: number) => void; onEnrol: () => void }) {
  const [before, setBefore] = useState<(string | null)[]>([null]) // cursors of the pages up to this one
  const [page, setPage] = useState<Page | null>(null)
  const [wrong, setWrong] = useState<string | null>(null)
  const [removing, setRemoving] = useState<User | null>(null)
  const [said, setSaid] = useState('')
  const heading = useRef<HTMLDivElement>(null)
  const hasKey = useHasKey()
  const cursor = before[before.length - 1] ?? null

  const load = useCallback(async () => {
    setWrong(null)
    try {
      const got = await users(PAGE, cursor)
      setPage(got)
      onTotal(got.total)
    } catch (e) {
      setPage(null)
      setWrong(wordsOf(e))
    }
  }, [cursor, onTotal])
  useEffect(() => void load(), [load, hasKey])

  const removed = (user: User) => {
    setRemoving(null)
    setSaid(`${user.name ?? user.user_id} was removed.`)
    heading.current?.focus()
    if (page?.users.length === 1 && before.length > 1) setBefore(before.slice(0, -1))
    else void load()
  }
  const turn = (to: (string | null)[]) => {
    setBefore(to)
    heading.current?.focus()
  }
  const from = (before.length - 1) * PAGE
  return (
    <Card>
      <div ref={heading} role="group" tabIndex={-1} className="outline-none" aria-label="Enrolled people">
        <Live className="sr-only">{said}</Live>
        {wrong !== null ? (
          <Notice tone="bad" title="The list could not be loaded" testId="gallery-error" action={<Button onClick={load}>Try again</Button>}>{wrong}</Notice>
        ) : page === null ? (
          <p role="status" className="flex items-center gap-3 py-8 text-muted"><Spinner /> Loading…</p>
        ) : page.total === 0 ? (
          <Empty icon={<People className="size-6" />} title="Nobody is enrolled yet">
            <p className="mb-4">Enrol a person with one photo or several, then search for them.</p>
            <Button variant="primary" onClick={onEnrol}>Enrol a person</Button>
          </Empty>
        ) : (
          <>
            <div role="table" aria-label="Enrolled people" data-testid="people">
              <div role="rowgroup" className="hidden text-sm text-muted sm:block">
                <div role="row" className="grid grid-cols-[minmax(0,1fr)_8rem_5rem_3rem] gap-4 border-b border-line pb-2">
                  <span role="columnheader">Person</span>
                  <span role="columnheader">Enrolled</span>
                  <span role="columnheader">Photos</span>
                  <span role="columnheader"><span className="sr-only">Remove</span></span>
                </div>
              </div>
              <div role="rowgroup">
                {page.users.map((u) => (
                  <div
                    key={u.user_id}
                    role="row"
                    data-testid="person"
                    className="grid grid-cols-[minmax(0,1fr)_3rem] items-center gap-x-4 border-b border-line py-2.5 last:border-0 sm:grid-cols-[minmax(0,1fr)_8rem_5rem_3rem]"
                  >
                    <div role="cell" className="min-w-0">
                      <p className="truncate font-medium">{u.name ?? u.user_id}</p>
                      {u.name !== null && <p className="truncate font-mono text-sm text-muted">{u.user_id}</p>}
                    </div>
                    <div role="cell" className="col-start-1 text-sm text-muted sm:col-auto sm:text-[0.9375rem] sm:text-ink">{day(u.enrolled_at)}</div>
                    <div role="cell" className="hidden tabular-nums sm:block">{u.templates}</div>
                    <div role="cell" className="col-start-2 row-span-2 row-start-1 sm:col-auto sm:row-auto">
                      <Button variant="quiet" className="px-2.5 text-muted hover:text-bad" aria-label={`Remove ${u.name ?? u.user_id}`} data-testid="remove" onClick={() => setRemoving(u)}>
                        <Trash />
                      </Button>
                    </div>
                  </div>
                ))}
              </div>
            </div>
            {page.total > PAGE && (
              <nav aria-label="Pages of the list" className="mt-4 flex flex-wrap items-center justify-between gap-3">
                <span className="text-sm text-muted tabular-nums" data-testid="page-range">{from + 1} to {from + page.users.length} of {page.total}</span>
                <span className="flex gap-2">
                  <Button disabled={before.length === 1} onClick={() => turn(before.slice(0, -1))} data-testid="page-previous">Previous</Button>
                  <Button disabled={page.cursor === null} onClick={() => turn([...before, page.cursor])} data-testid="page-next">Next</Button>
                </span>
              </nav>
            )}
          </>
        )}
      </div>
      <RemoveDialog user={removing} onClose={() => setRemoving(null)} onRemoved={removed} />
    </Card>
  )
}

/* ---- enrolling ---- */

function Thumbnail({ photo, alt }: { photo: Blob; alt: string }) {
  const url = useObjectUrl(photo)
  return url === null ? null : <img src={url} alt={alt} className="size-16 rounded-lg object-cover" />
}

interface Taken {
  photo: Blob
  state: 'waiting' | 'taken' | 'refused'
  message: string
}

function Enrol({ onDone }: { onDone: () => void }) {
  const [id, setId] = useState('')
  const [name, setName] = useState('')
  const [photos, setPhotos] = useState<Taken[]>([])
  const [add, setAdd] = useState(false)
  const [busy, setBusy] = useState(false)
  const [wrong, setWrong] = useState<string | null>(null)
  const [done, setDone] = useState<string | null>(null)
  const [missing, setMissing] = useState(false)

  const change = () => {
    setWrong(null)
    setDone(null)
  }
  const take = (photo: Blob | null) => {
    if (photo === null) return
    change()
    setMissing(false)
    setPhotos((p) => [...p, { photo, state: 'waiting', message: '' }])
  }
  const submit = async (e: FormEvent) => {
    e.preventDefault()
    change()
    if (photos.every((p) => p.state !== 'waiting')) return setMissing(true)
    setBusy(true)
    const results = [...photos]
    let taken = photos.filter((p) => p.state === 'taken').length
    try {
      for (const [i, p] of results.entries()) {
        if (p.state !== 'waiting') continue
        const answer = await enroll(id, name, p.photo, add || taken > 0)
        if (answer.success) taken++
        results[i] = { ...p, state: answer.success ? 'taken' : 'refused', message: answer.message }
        setPhotos([...results])
      }
      if (taken > 0) {
        setDone(`${name || id} is enrolled with ${taken === 1 ? 'one photo' : `${taken} photos`}.`)
        onDone()
      } else setWrong('None of the photos could be used; nothing was changed.')
    } catch (e) {
      setWrong(wordsOf(e) + (taken > 0 ? ` ${taken} of ${results.length} photos were enrolled before.` : ''))
    } finally {
      setBusy(false)
    }
  }
  /* Photos of this person were enrolled: what is added now belongs to the same person. */
  const bound = photos.some((p) => p.state === 'taken')
  const again = () => {
    setId('')
    setName('')
    setPhotos([])
    change()
  }
  return (
    <form onSubmit={submit} className="grid items-start gap-5 lg:grid-cols-2">
      <Card title="Person">
        <div className="space-y-4">
          <Field label="User id" hint="What your service knows the person by; it must be unique." required maxLength={128} autoComplete="off" value={id} disabled={bound} data-testid="enrol-id" onChange={(e) => setId(e.target.value)} />
          <Field label="Name (optional)" hint="Shown in matches." maxLength={255} autoComplete="off" value={name} disabled={bound} data-testid="enrol-name" onChange={(e) => setName(e.target.value)} />
          <label className="flex items-start gap-3 text-[0.9375rem]">
            <input type="checkbox" checked={add} onChange={(e) => setAdd(e.target.checked)} data-testid="enrol-append" className="size-6 shrink-0 accent-accent" />
            <span>Keep photos that were enrolled before<span className="block text-sm text-muted">Otherwise the new ones replace them.</span></span>
          </label>
        </div>
      </Card>
      <Card title="Photos">
        <PhotoInput compact pastes multiple label="Photos of the person" testId="enrol-photo" value={null} onChange={take} />
        {missing && <p role="alert" className="mt-2 text-sm text-bad">Add at least one photo.</p>}
        {photos.length > 0 && (
          <ul className="mt-4 space-y-3" aria-label="Photos to enrol" data-testid="enrol-photos">
            {photos.map((p, i) => (
              <li key={i} className="flex items-center gap-3">
                <Thumbnail photo={p.photo} alt={`Photo ${i + 1}`} />
                <span className="min-w-0 flex-1 text-[0.9375rem]">
                  {p.state === 'waiting' ? (
                    <span className="text-muted">Photo {i + 1}</span>
                  ) : (
                    <span className={'flex items-start gap-2 ' + (p.state === 'taken' ? 'text-good' : 'text-bad')}>
                      {p.state === 'taken' ? <Check /> : <Cross />}
                      <span>{p.state === 'taken' ? 'Enrolled' : p.message}</span>
                    </span>
                  )}
                </span>
                {p.state !== 'taken' && !busy && (
                  <Button variant="quiet" className="px-2.5 text-muted" aria-label={`Leave out photo ${i + 1}`} onClick={() => setPhotos(photos.filter((q) => q !== p))}><Trash /></Button>
                )}
              </li>
            ))}
          </ul>
        )}
      </Card>
      <div className="flex flex-wrap items-center gap-4 lg:col-span-2">
        {(done === null || photos.some((p) => p.state === 'waiting')) && (
          <Button variant="primary" type="submit" busy={busy} data-testid="enrol-submit">Enrol</Button>
        )}
        {bound && !busy && <Button onClick={again} data-testid="enrol-another">Enrol another person</Button>}
        <Live className="min-w-0 basis-full sm:flex-1 sm:basis-auto">
          {done !== null && <Notice tone="good" testId="enrol-done">{done}</Notice>}
          {wrong !== null && <Notice tone="bad" testId="enrol-error">{wrong}</Notice>}
        </Live>
      </div>
    </form>
  )
}

/* ---- searching ---- */

function Search() {
  const [photo, setPhoto] = useState<Blob | null>(null)
  const [found, setFound] = useState<{ matches: Match[]; threshold: number; faces_detected: number } | null>(null)
  const [wrong, setWrong] = useState<string | null>(null)
  useEffect(() => {
    let left = false
    setFound(null)
    setWrong(null)
    if (photo === null) return
    search(photo, 10).then(
      (r) => !left && setFound(r),
      (e: unknown) => !left && setWrong(wordsOf(e)),
    )
    return () => {
      left = true
    }
  }, [photo])
  return (
    <div className="grid items-start gap-5 lg:grid-cols-2">
      <Card><PhotoInput compact pastes label="Photo of the person to find" testId="search-photo" value={photo} onChange={setPhoto} /></Card>
      <Card title="Matches" aside={found !== null && <span className="text-sm text-muted">threshold {found.threshold.toFixed(3)}</span>}>
        <Live>
          {photo === null ? (
            <Empty icon={<PhotoIcon className="size-6" />} title="No photo yet">People who look like the face in the photo appear here, the most similar first.</Empty>
          ) : wrong !== null ? (
            <Notice tone="bad" title="The search failed" testId="search-error">{wrong}</Notice>
          ) : found === null ? (
            <p className="flex items-center gap-3 py-8 text-muted"><Spinner /> Searching…</p>
          ) : (
            <>
              {found.faces_detected > 1 && <p className="mb-3 text-sm text-muted">{found.faces_detected} faces are in the photo; the one of the best quality was searched for.</p>}
              {found.matches.length === 0 ? (
                <Empty icon={<Person className="size-6" />} title="No match">Nobody in the gallery is similar enough.</Empty>
              ) : (
                <ol className="space-y-4" data-testid="matches">
                  {found.matches.map((m) => (
                    <li key={m.user_id} data-testid="match">
                      <div className="mb-1 flex flex-wrap items-center justify-between gap-x-3">
                        <span className="min-w-0 break-words font-medium">{m.name ?? m.user_id}</span>
                        {m.name !== null && <span className="font-mono text-sm text-muted">{m.user_id}</span>}
                      </div>
                      <Meter label="Similarity" value={m.similarity} text={`${m.similarity.toFixed(3)} · confidence ${m.confidence.toFixed(2)}`} />
                    </li>
                  ))}
                </ol>
              )}
            </>
          )}
        </Live>
      </Card>
    </div>
  )
}

export default function Gallery() {
  const [tab, setTab] = useState<Tab>('people')
  const [total, setTotal] = useState<number | null>(null)
  const tabs = [
    { id: 'people', label: <span className="flex items-center gap-2">People {total !== null && <span data-testid="gallery-total" className="text-sm text-muted tabular-nums">{total}</span>}</span> },
    { id: 'enrol', label: 'Enrol' },
    { id: 'search', label: 'Search' },
  ] as const
  const count = useCallback(() => void users(1, null).then((p) => setTotal(p.total), () => undefined), [])
  return (
    <>
      <SectionHead title="Gallery">People whom the server knows by their faces. It keeps sealed templates of them, never their photos.</SectionHead>
      <Tabs label="Gallery" tabs={tabs} selected={tab} onSelect={setTab} />
      <TabPanel id={tab}>
        {tab === 'people' && <PeopleList onTotal={setTotal} onEnrol={() => setTab('enrol')} />}
        {tab === 'enrol' && <Enrol onDone={count} />}
        {tab === 'search' && <Search />}
      </TabPanel>
    </>
  )
}
