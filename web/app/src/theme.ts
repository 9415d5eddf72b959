// Light or dark: the system's until somebody chooses (public/theme.js does the same before anything is drawn).
import { useSyncExternalStore } from 'react'

export type Theme = 'light' | 'dark'
const STORED = 'mien-theme'
const system = matchMedia('(prefers-color-scheme: dark)')
const heard = new Set<() => void>()
let chosen: Theme | null = null
try {
  const stored = localStorage.getItem(STORED)
  if (stored === 'light' || stored === 'dark') chosen = stored
} catch {
  // storage may be switched off; then a choice holds until the page is left
}

const current = (): Theme => chosen ?? (system.matches ? 'dark' : 'light')

function apply(): void {
  document.documentElement.dataset['theme'] = current()
  heard.forEach((f) => f())
}
system.addEventListener('change', apply)

export function useTheme(): Theme {
  return useSyncExternalStore((f) => (heard.add(f), () => heard.delete(f)), current)
}

export function toggleTheme(): void {
  chosen = current() === 'dark' ? 'light' : 'dark'
  try {
    localStorage.setItem(STORED, chosen)
  } catch {
    // as above
  }
  apply()
}
