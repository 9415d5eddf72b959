// Asking for the API key: a dialogue that opens when the server answers 401 (or 403 for a key without the scope), and by the button in the head.
import { useEffect, useRef, useState } from 'react'
import type { FormEvent } from 'react'
import { apiKey, onKeyNeeded, setApiKey } from './api'
import type { Problem } from './api'
import { Button, Dialog, Field } from './ui'

export function useHasKey(): boolean {
  const [has, setHas] = useState(apiKey() !== null)
  useEffect(() => {
    const changed = () => setHas(apiKey() !== null)
    addEventListener('mien-key', changed)
    return () => removeEventListener('mien-key', changed)
  }, [])
  return has
}

export const openKeyDialog = () => dispatchEvent(new Event('mien-key-open'))

export function KeyDialog() {
  const [open, setOpen] = useState(false)
  const [why, setWhy] = useState<Problem | null>(null)
  const [typed, setTyped] = useState('')
  const waiting = useRef<((given: boolean) => void)[]>([])
  const has = useHasKey()

  useEffect(() => {
    const show = (problem: Problem | null) => {
      setWhy(problem)
      setTyped('')
      setOpen(true)
    }
    onKeyNeeded((problem) => {
      show(problem)
      return new Promise((resolve) => waiting.current.push(resolve))
    })
    const opened = () => show(null)
    addEventListener('mien-key-open', opened)
    return () => {
      onKeyNeeded(null)
      removeEventListener('mien-key-open', opened)
    }
  }, [])

  const close = (given: boolean) => {
    setOpen(false)
    for (const resolve of waiting.current.splice(0)) resolve(given)
  }
  const submit = (e: FormEvent) => {
    e.preventDefault()
    const key = typed.trim()
    if (key === '') return
    setApiKey(key)
    close(true)
  }
  const explanation =
    why === null
      ? 'Servers that are open to others ask for a key. It is kept in this tab only and sent to this server alone.'
      : why.status === 403
        ? 'The key that was used may not do this. Enter one that may.'
        : has
          ? 'The server does not know the key that was used. Enter another one.'
          : 'This server asks for a key. It is kept in this tab only and sent to this server alone.'
  return (
    <Dialog open={open} onClose={() => close(false)} title="API key" testId="key-dialog">
      <form onSubmit={submit} className="space-y-4">
        <p className="text-[0.9375rem] text-muted">{explanation}</p>
        <Field
          label="Key"
          type="password"
          name="api-key"
          autoComplete="off"
          spellCheck={false}
          autoFocus
          required
          value={typed}
          data-testid="key-input"
          onChange={(e) => setTyped(e.target.value)}
        />
        <div className="flex flex-wrap justify-end gap-2">
          {has && (
            <Button
              variant="quiet"
              className="mr-auto"
              data-testid="key-forget"
              onClick={() => {
                setApiKey(null)
                close(false)
              }}
            >
              Forget the key
            </Button>
          )}
          <Button onClick={() => close(false)}>Cancel</Button>
          <Button variant="primary" type="submit" data-testid="key-submit">Use this key</Button>
        </div>
      </form>
    </Dialog>
  )
}
