// Proof of life: the element that other sites embed (web/verify), and what a server would do with the token that it brings.
import { useEffect, useRef, useState } from 'react'
import type { FormEvent } from 'react'
import '../../verify/src/element'
import type { MienVerify } from '../../verify/src/element'
import { apiKey, request, wordsOf } from './api'
import { Copy } from './icons'
import { openKeyDialog, useHasKey } from './key'
import { useTheme } from './theme'
import { Badge, Button, Card, Field, Live, Notice, SectionHead, Spinner } from './ui'

declare module 'react' {
  namespace JSX {
    interface IntrinsicElements {
      'mien-verify': DetailedHTMLProps<HTMLAttributes<MienVerify>, MienVerify> & { 'user-id'?: string; theme?: string }
    }
  }
}

interface Validation {
  valid: boolean
  payload?: Record<string, unknown> | null
}

/** Names of the claims in words; times as times. */
function claimText(name: string, value: unknown): string {
  if ((name === 'exp' || name === 'iat' || name === 'nbf') && typeof value === 'number') return new Date(value * 1000).toLocaleString()
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function Token({ token }: { token: string }) {
  const [checked, setChecked] = useState<Validation | null>(null)
  const [wrong, setWrong] = useState<string | null>(null)
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    const left = new AbortController()
    setChecked(null)
    setWrong(null)
    request('/token/validate', { method: 'POST', type: 'application/json', body: JSON.stringify({ token }), signal: left.signal })
      .then(async (r) => setChecked((await r.json()) as Validation))
      .catch((e: unknown) => !left.signal.aborted && setWrong(wordsOf(e)))
    return () => left.abort()
  }, [token])
  const copy = async () => {
    await navigator.clipboard.writeText(token).then(() => setCopied(true), () => setWrong('The browser did not allow copying.'))
  }
  return (
    <Card
      title="What your server does with the token"
      aside={checked !== null && <Badge tone={checked.valid ? 'good' : 'bad'} testId="token-valid">{checked.valid ? 'Valid' : 'Not valid'}</Badge>}
    >
      <p className="mb-4 text-[0.9375rem] text-muted">
        It asks <code className="font-mono text-sm">POST /token/validate</code>, as this page has just done, or checks the RS256 signature itself with the keys at{' '}
        <a className="text-accent underline underline-offset-4" href="/.well-known/jwks.json">/.well-known/jwks.json</a>.
      </p>
      {checked === null && wrong === null && <p className="flex items-center gap-2 text-muted"><Spinner /> Checking…</p>}
      {wrong !== null && <Notice tone="bad">{wrong}</Notice>}
      {checked?.payload != null && (
        <dl data-testid="token-claims" className="grid gap-x-6 gap-y-1.5 text-[0.9375rem] sm:grid-cols-[auto_minmax(0,1fr)]">
          {Object.entries(checked.payload).map(([name, value]) => (
            <div key={name} className="sm:contents">
              <dt className="font-mono text-sm text-muted">{name}</dt>
              <dd className="[overflow-wrap:anywhere] tabular-nums">{claimText(name, value)}</dd>
            </div>
          ))}
        </dl>
      )}
      <div className="mt-4 flex flex-wrap items-center gap-3">
        <Button onClick={copy} data-testid="token-copy"><Copy /> {copied ? 'Copied' : 'Copy the token'}</Button>
      </div>
    </Card>
  )
}

const STEPS = [
  ['Say who you are', 'The name goes into the token. It is not looked up anywhere.'],
  ['Follow three to five instructions', 'Chosen at random for this session, ten seconds each: turn your head, smile, blink…'],
  ['Get a signed token', 'When the scores together reach 0.70. It says who was verified, when, and how well.'],
] as const

export default function Verify() {
  const element = useRef<MienVerify>(null)
  const theme = useTheme()
  const hasKey = useHasKey()
  const [typed, setTyped] = useState('')
  const [user, setUser] = useState<string | null>(null)
  const [token, setToken] = useState<string | null>(null)
  const [locked, setLocked] = useState(false)
  const who = useRef<HTMLParagraphElement>(null)
  const [returned, setReturned] = useState(false)

  useEffect(() => {
    const e = element.current
    if (e === null) return
    e.apiKey = apiKey()
    setLocked(false)
  }, [hasKey, user])
  useEffect(() => {
    const e = element.current
    if (e === null) return
    const success = (event: Event) => setToken((event as CustomEvent<{ token: string }>).detail.token)
    const failure = (event: Event) => {
      const reason = (event as CustomEvent<{ reason: string }>).detail.reason
      setLocked(reason === 'unauthorized' || reason === 'forbidden')
    }
    const state = (event: Event) => {
      if ((event as CustomEvent<{ state: string }>).detail.state !== 'camera') return
      setToken(null)
      setLocked(false)
    }
    e.addEventListener('mien-state', state)
    e.addEventListener('mien-success', success)
    e.addEventListener('mien-failure', failure)
    return () => {
      e.removeEventListener('mien-state', state)
      e.removeEventListener('mien-success', success)
      e.removeEventListener('mien-failure', failure)
    }
  }, [user])
  useEffect(() => who.current?.focus(), [user])
  useEffect(() => {
    const keyChanged = () => {
      if (element.current !== null) element.current.apiKey = apiKey()
    }
    addEventListener('mien-key', keyChanged)
    return () => removeEventListener('mien-key', keyChanged)
  }, [])

  const submit = (e: FormEvent) => {
    e.preventDefault()
    if (typed.trim() === '') return
    setToken(null)
    setUser(typed.trim())
  }
  const leave = () => {
    setReturned(true)
    setUser(null)
    setToken(null)
  }

  return (
    <>
      <SectionHead title="Verify">Prove that a living person is in front of the camera, and get a signed token that says so.</SectionHead>
      {user === null ? (
        <div className="grid items-start gap-5 lg:grid-cols-[minmax(0,1fr)_22rem]">
          <Card title="Who is to be verified?">
            <form onSubmit={submit} className="space-y-4">
              <Field
                label="User id"
                hint="Any name that your service knows the person by."
                required
                autoFocus={returned}
                maxLength={128}
                autoComplete="username"
                value={typed}
                data-testid="verify-user"
                onChange={(e) => setTyped(e.target.value)}
              />
              <Button variant="primary" type="submit" data-testid="verify-continue">Continue</Button>
            </form>
          </Card>
          <Card title="How it works">
            <ol className="space-y-4">
              {STEPS.map(([title, text], i) => (
                <li key={title} className="flex gap-3">
                  <span aria-hidden="true" className="grid size-7 shrink-0 place-items-center rounded-full bg-accent-soft text-sm font-semibold text-accent">{i + 1}</span>
                  <div>
                    <p className="font-medium">{title}</p>
                    <p className="text-[0.9375rem] text-muted">{text}</p>
                  </div>
                </li>
              ))}
            </ol>
          </Card>
        </div>
      ) : (
        <div className="space-y-5">
          <div className="flex flex-wrap items-center justify-between gap-2">
            <p ref={who} tabIndex={-1} className="min-w-0 outline-none [overflow-wrap:anywhere]">Verifying <strong data-testid="verify-who">{user}</strong></p>
            <Button variant="quiet" onClick={leave} data-testid="verify-other">Somebody else</Button>
          </div>
          <div className="embedding">
            <mien-verify ref={element} key={user} user-id={user} theme={theme} data-testid="verify-element" />
          </div>
          <Live className="space-y-5">
            {locked && (
              <Notice tone="warn" title="Sessions need an API key here" testId="verify-locked" action={<Button variant="primary" onClick={openKeyDialog}>Enter the key</Button>}>
                The key must have the scope <code className="font-mono text-sm">session</code>. Then press “Try again” above.
              </Notice>
            )}
            {token !== null && <Token token={token} />}
          </Live>
        </div>
      )}
    </>
  )
}
