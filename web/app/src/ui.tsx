// The parts that every section is made of.
import { useEffect, useId, useRef } from 'react'
import type { ButtonHTMLAttributes, InputHTMLAttributes, KeyboardEvent, ReactNode } from 'react'
import { Check, Cross, Info, Warning } from './icons'

const VARIANTS = {
  primary: 'bg-accent text-on-accent hover:bg-accent-strong border-transparent',
  secondary: 'bg-surface text-ink border-edge hover:bg-sunken',
  quiet: 'bg-transparent text-ink border-transparent hover:bg-sunken',
  danger: 'bg-bad text-on-bad border-transparent hover:opacity-90',
}

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  variant?: keyof typeof VARIANTS
  busy?: boolean
}

export function Button({ variant = 'secondary', busy = false, className = '', children, disabled, ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      disabled={disabled === true || busy}
      aria-busy={busy || undefined}
      className={
        'inline-flex min-h-11 items-center justify-center gap-2 rounded-lg border px-4 py-2 text-[0.9375rem] font-medium ' +
        'transition-colors disabled:cursor-not-allowed disabled:opacity-55 ' + VARIANTS[variant] + ' ' + className
      }
      {...rest}
    >
      {busy && <Spinner />}
      {children}
    </button>
  )
}

export function Spinner({ className = 'size-4' }: { className?: string }) {
  return <span aria-hidden="true" className={'inline-block animate-spin rounded-full border-2 border-current border-r-transparent ' + className} />
}

export function Card({ title, aside, children, className = '', level = 2 }: {
  title?: ReactNode
  aside?: ReactNode
  children: ReactNode
  className?: string
  level?: 2 | 3
}) {
  const id = useId()
  const Heading = level === 2 ? 'h2' : 'h3'
  return (
    <section aria-labelledby={title !== undefined ? id : undefined} className={'rounded-2xl border border-line bg-surface p-4 shadow-card sm:p-6 ' + className}>
      {title !== undefined && (
        <div className="mb-4 flex flex-wrap items-center justify-between gap-x-4 gap-y-1">
          <Heading id={id} className="text-base font-semibold">{title}</Heading>
          {aside}
        </div>
      )}
      {children}
    </section>
  )
}

const TONES = {
  info: { box: 'border-line bg-sunken', icon: <Info className="size-5 text-muted" /> },
  good: { box: 'border-transparent bg-good-soft', icon: <Check className="size-5 text-good" /> },
  warn: { box: 'border-transparent bg-warn-soft', icon: <Warning className="size-5 text-warn" /> },
  bad: { box: 'border-transparent bg-bad-soft', icon: <Cross className="size-5 text-bad" /> },
}
export type Tone = keyof typeof TONES

export function Notice({ tone = 'info', title, children, action, testId }: {
  tone?: Tone
  title?: string
  children?: ReactNode
  action?: ReactNode
  testId?: string
}) {
  return (
    <div data-testid={testId} data-tone={tone} className={'flex gap-3 rounded-xl border p-4 text-[0.9375rem] ' + TONES[tone].box}>
      <span className="mt-0.5">{TONES[tone].icon}</span>
      <div className="min-w-0 flex-1">
        {title !== undefined && <p className="font-semibold">{title}</p>}
        {children !== undefined && <div className="break-words">{children}</div>}
        {action !== undefined && <div className="mt-3 flex flex-wrap gap-2">{action}</div>}
      </div>
    </div>
  )
}

/** Where results appear: a screen reader reads out what comes. */
export function Live({ children, className = '', urgent = false }: { children: ReactNode; className?: string; urgent?: boolean }) {
  return (
    <div aria-live={urgent ? 'assertive' : 'polite'} className={className}>
      {children}
    </div>
  )
}

const BADGES = {
  info: 'bg-sunken text-ink',
  good: 'bg-good-soft text-good',
  warn: 'bg-warn-soft text-warn',
  bad: 'bg-bad-soft text-bad',
}
export function Badge({ tone = 'info', children, testId }: { tone?: Tone; children: ReactNode; testId?: string }) {
  return (
    <span data-testid={testId} className={'inline-flex items-center gap-1 whitespace-nowrap rounded-full px-2.5 py-0.5 text-sm font-medium ' + BADGES[tone]}>
      {children}
    </span>
  )
}

interface FieldProps extends InputHTMLAttributes<HTMLInputElement> {
  label: string
  hint?: string
  error?: string | undefined
}
export function Field({ label, hint, error, className = '', ...rest }: FieldProps) {
  const id = useId()
  const described = [hint !== undefined && id + '-hint', error !== undefined && id + '-error'].filter(Boolean).join(' ')
  return (
    <div className={className}>
      <label htmlFor={id} className="mb-1 block text-sm font-medium">{label}</label>
      <input
        id={id}
        aria-invalid={error !== undefined || undefined}
        aria-describedby={described || undefined}
        className="min-h-11 w-full rounded-lg border border-edge bg-surface px-3 py-2 text-base aria-invalid:border-bad"
        {...rest}
      />
      {hint !== undefined && <p id={id + '-hint'} className="mt-1 text-sm text-muted">{hint}</p>}
      {error !== undefined && <p id={id + '-error'} className="mt-1 text-sm text-bad">{error}</p>}
    </div>
  )
}

const METER = { info: 'bg-accent', good: 'bg-good', warn: 'bg-warn', bad: 'bg-bad' }

/** A score between 0 and 1 as a bar; `mark` is the least that is needed. */
export function Meter({ label, value, mark, tone = 'info', text, testId }: {
  label: string
  value: number
  mark?: number
  tone?: Tone
  text?: string
  testId?: string
}) {
  const shown = Math.min(1, Math.max(0, value))
  const words = text ?? value.toFixed(2).replace('-', '−')
  const needed = mark?.toFixed(3).replace(/0$/, '')
  return (
    <div data-testid={testId} data-value={value}>
      <div className="flex items-baseline justify-between gap-3 text-sm">
        <span>{label}</span>
        <span className="font-medium tabular-nums">{words}</span>
      </div>
      <div
        role="meter"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={1}
        aria-valuenow={shown}
        aria-valuetext={words + (mark !== undefined ? `, at least ${needed} is needed` : '')}
        className="relative mt-1.5 h-2 rounded-full bg-sunken"
      >
        <div className={'meter-fill h-full rounded-full transition-[width] duration-500 ' + METER[tone]} style={{ width: shown * 100 + '%' }} />
        {mark !== undefined && <div className="absolute -inset-y-1 w-0.5 rounded bg-ink" style={{ left: `calc(${mark * 100}% - 1px)` }} />}
      </div>
      {mark !== undefined && (
        <div aria-hidden="true" className="relative mt-1 h-4 text-xs text-muted">
          <span className="absolute -translate-x-1/2 whitespace-nowrap" style={{ left: `clamp(1.500rem, ${mark * 100}%, calc(100% - 1.500rem))` }}>
            {needed}
          </span>
        </div>
      )}
    </div>
  )
}

export function Tabs<T extends string>({ tabs, selected, onSelect, label }: {
  tabs: readonly { id: T; label: ReactNode }[]
  selected: T
  onSelect: (id: T) => void
  label: string
}) {
  const list = useRef<HTMLDivElement>(null)
  const onKey = (e: KeyboardEvent) => {
    const at = tabs.findIndex((t) => t.id === selected)
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[e.key]
    const next = to !== undefined ? tabs[(to + tabs.length) % tabs.length] : undefined
    if (next === undefined) return
    e.preventDefault()
    onSelect(next.id)
    list.current?.querySelector<HTMLElement>(`#tab-${next.id}`)?.focus()
  }
  return (
    <div ref={list} role="tablist" aria-label={label} onKeyDown={onKey} className="inline-flex max-w-full gap-1 overflow-x-auto rounded-xl bg-sunken p-1">
      {tabs.map((t) => (
        <button
          key={t.id}
          type="button"
          role="tab"
          id={'tab-' + t.id}
          data-testid={'tab-' + t.id}
          aria-selected={t.id === selected}
          aria-controls={t.id === selected ? 'panel-' + t.id : undefined}
          tabIndex={t.id === selected ? 0 : -1}
          onClick={() => onSelect(t.id)}
          className={
            'min-h-10 whitespace-nowrap rounded-lg px-3.5 text-[0.9375rem] font-medium transition-colors sm:px-4 ' +
            (t.id === selected ? 'bg-raised text-ink shadow-card' : 'text-muted hover:text-ink')
          }
        >
          {t.label}
        </button>
      ))}
    </div>
  )
}

export function TabPanel({ id, children }: { id: string; children: ReactNode }) {
  return (
    <div role="tabpanel" id={'panel-' + id} aria-labelledby={'tab-' + id} className="mt-5">
      {children}
    </div>
  )
}

/** A modal dialogue: the browser keeps the focus inside, gives it back afterwards, and closes it on Escape. */
export function Dialog({ open, onClose, title, children, testId }: {
  open: boolean
  onClose: () => void
  title: string
  children: ReactNode
  testId?: string
}) {
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const d = dialog.current
    if (d === null) return
    if (open && !d.open) d.showModal()
    if (!open && d.open) d.close()
  }, [open])
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      data-testid={testId}
      onClose={(e) => {
        if (open && !e.currentTarget.open) onClose() // the browser closed it; the event of our own closing may come when it is open again
      }}
      className="w-[min(28rem,calc(100vw-2rem))] rounded-2xl border border-line bg-surface p-5 shadow-card sm:p-6"
    >
      {open && (
        <>
          <h2 id={id} className="mb-3 text-lg font-semibold">{title}</h2>
          {children}
        </>
      )}
    </dialog>
  )
}

export function Empty({ icon, title, children }: { icon: ReactNode; title: string; children?: ReactNode }) {
  return (
    <div className="flex flex-col items-center gap-2 px-4 py-10 text-center">
      <span className="grid size-12 place-items-center rounded-full bg-sunken text-muted">{icon}</span>
      <p className="font-medium">{title}</p>
      {children !== undefined && <div className="max-w-sm text-[0.9375rem] text-muted">{children}</div>}
    </div>
  )
}

/** Heading of a section. It takes the focus when the section opens, so that a screen reader begins here. */
export function SectionHead({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="mb-6">
      <h1 id="section-title" tabIndex={-1} className="text-2xl font-semibold tracking-tight sm:text-3xl">{title}</h1>
      <p className="mt-1.5 max-w-3xl text-pretty text-muted">{children}</p>
    </div>
  )
}
