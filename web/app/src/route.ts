// Sections by the address's hash: #/try, #/gallery ... An unknown one is the first.
import { useEffect, useState } from 'react'

export const SECTIONS = [
  { id: 'verify', label: 'Verify' },
  { id: 'try', label: 'Try it' },
  { id: 'gallery', label: 'Gallery' },
  { id: 'status', label: 'Status' },
] as const

export type Section = (typeof SECTIONS)[number]['id']

function read(): Section {
  const name = location.hash.replace(/^#\/?/, '').split('/')[0]
  return SECTIONS.find((s) => s.id === name)?.id ?? 'verify'
}

export function useSection(): Section {
  const [section, setSection] = useState(read)
  useEffect(() => {
    const changed = () => setSection(read())
    addEventListener('hashchange', changed)
    return () => removeEventListener('hashchange', changed)
  }, [])
  return section
}
