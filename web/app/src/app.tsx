// The shell: head with navigation, the section that the address names, foot.
import { Component, Suspense, lazy, useEffect, useRef } from 'react'
import type { ReactNode } from 'react'
import { Key, LogoMark, Moon, Sun } from './icons'
import { KeyDialog, openKeyDialog, useHasKey } from './key'
import { SECTIONS, useSection } from './route'
import type { Section } from './route'
import { toggleTheme, useTheme } from './theme'
import { Button, Notice, Spinner } from './ui'

const LOAD = {
  verify: () => import('./verify'),
  try: () => import('./tryit'),
  gallery: () => import('./gallery'),
  status: () => import('./status'),
}
const PAGES: Record<Section, ReturnType<typeof lazy>> = { verify: lazy(LOAD.verify), try: lazy(LOAD.try), gallery: lazy(LOAD.gallery), status: lazy(LOAD.status) }
const REST_AFTER_MS = 1000

/** A part that fails to load or to draw must not take the page along. */
class Boundary extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false }
  static getDerivedStateFromError() {
    return { failed: true }
  }
  override render() {
    if (!this.state.failed) return this.props.children
    return (
      <div role="alert">
        <Notice tone="bad" title="This section could not be shown" action={<Button onClick={() => location.reload()}>Reload the page</Button>}>
          The server may have been updated or stopped since the page was opened.
        </Notice>
      </div>
    )
  }
}

/** `tall`: as high as the window, where what comes is, so that nothing that is seen moves then. */
function Loading({ tall }: { tall: boolean }) {
  return (
    <div role="status" className={'flex gap-3 py-24 text-muted ' + (tall ? 'min-h-dvh items-start' : 'items-center')}>
      <Spinner /> Loading…
    </div>
  )
}

function Head({ section }: { section: Section }) {
  const theme = useTheme()
  const hasKey = useHasKey()
  const icon = 'grid size-11 place-items-center rounded-lg text-muted hover:bg-sunken hover:text-ink'
  const keyLabel = hasKey ? 'API key: set' : 'API key: none'
  const themeLabel = theme === 'dark' ? 'Switch to light colours' : 'Switch to dark colours'
  return (
    <header className="top-0 z-10 border-b border-line bg-surface sm:sticky">
      <div className="mx-auto flex max-w-6xl flex-wrap items-center gap-x-8 px-4 sm:flex-nowrap sm:px-6">
        <a href="#/verify" className="flex items-center gap-2.5 rounded-lg py-2.5" aria-label="mien, start">
          <LogoMark />
          <span className="text-xl font-semibold tracking-tight">mien</span>
        </a>
        <nav aria-label="Sections" className="order-last w-full sm:order-none sm:w-auto">
          <ul className="-mx-1 flex justify-between sm:mx-0 sm:justify-start sm:gap-1">
            {SECTIONS.map((s) => (
              <li key={s.id}>
                <a
                  href={'#/' + s.id}
                  data-testid={'nav-' + s.id}
                  aria-current={s.id === section ? 'page' : undefined}
                  className={
                    'flex min-h-12 items-center border-b-[3px] px-3 pt-[3px] font-medium transition-colors sm:min-h-16 sm:px-3.5 ' +
                    (s.id === section ? 'border-accent text-ink' : 'border-transparent text-muted hover:text-ink')
                  }
                >
                  {s.label}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div className="ml-auto flex items-center">
          <button type="button" className={icon + ' relative'} onClick={openKeyDialog} aria-label={keyLabel} title={keyLabel} data-testid="key-button">
            <Key />
            {hasKey && <span className="absolute right-2 top-2 size-2 rounded-full bg-good" />}
          </button>
          <button type="button" className={icon} onClick={toggleTheme} aria-label={themeLabel} title={themeLabel} data-testid="theme-toggle">
            {theme === 'dark' ? <Sun /> : <Moon />}
          </button>
        </div>
      </div>
    </header>
  )
}

export function App() {
  const section = useSection()
  const main = useRef<HTMLElement>(null)
  const first = useRef(true)
  const Page = PAGES[section]

  /* The other sections come when the first one stands: they are small, and then open at once. */
  useEffect(() => {
    const timer = setTimeout(() => void Promise.allSettled(Object.values(LOAD).map((load) => load())), REST_AFTER_MS)
    return () => clearTimeout(timer)
  }, [])

  useEffect(() => {
    document.title = (SECTIONS.find((s) => s.id === section)?.label ?? '') + ' · mien'
    if (first.current) {
      first.current = false
      return
    }
    scrollTo(0, 0)
    /* The section may still be loading: its heading takes the focus when it is there. */
    const focus = () => {
      const title = document.getElementById('section-title')
      title?.focus({ preventScroll: true })
      return title !== null
    }
    if (main.current === null || focus()) return
    const observer = new MutationObserver(() => focus() && observer.disconnect())
    observer.observe(main.current, { childList: true, subtree: true })
    return () => observer.disconnect()
  }, [section])

  return (
    <div className="flex min-h-dvh flex-col">
      <button
        type="button"
        className="sr-only focus:not-sr-only focus:fixed focus:left-3 focus:top-3 focus:z-20 focus:rounded-lg focus:bg-accent focus:px-4 focus:py-2.5 focus:text-on-accent"
        onClick={() => main.current?.focus()}
      >
        Skip to the content
      </button>
      <Head section={section} />
      <main ref={main} tabIndex={-1} data-testid={'section-' + section} className="mx-auto w-full max-w-6xl flex-1 px-4 py-7 outline-none sm:px-6 sm:py-10">
        <Boundary key={section}>
          <Suspense fallback={<Loading tall={section === 'status'} />}>
            <Page />
          </Suspense>
        </Boundary>
      </main>
      <footer className="border-t border-line">
        <div className="mx-auto flex max-w-6xl flex-wrap gap-x-6 gap-y-1 px-4 py-5 text-sm text-muted sm:px-6">
          <span className="mr-auto">Photos are analysed in memory and not kept.</span>
          <a className="underline underline-offset-4 hover:text-ink" href="/docs">API documentation</a>
          <a className="underline underline-offset-4 hover:text-ink" href="/openapi.json">OpenAPI</a>
        </div>
      </footer>
      <KeyDialog />
    </div>
  )
}
