// One photo: dropped, pasted, chosen, or taken with the camera; shown with whatever is drawn over it.
import { useEffect, useId, useRef, useState } from 'react'
import type { DragEvent, ReactNode } from 'react'
import { closeCamera, cameraWords, openCamera, takePhoto } from './camera'
import type { CameraFault } from './camera'
import { Camera, Photo as PhotoIcon, Trash } from './icons'
import { Button, Notice, Spinner } from './ui'

export interface Size {
  width: number
  height: number
}

/** The object URL of a blob, revoked when it is no longer shown. */
export function useObjectUrl(blob: Blob | null): string | null {
  const [url, setUrl] = useState<string | null>(null)
  useEffect(() => {
    if (blob === null) {
      setUrl(null)
      return
    }
    const made = URL.createObjectURL(blob)
    setUrl(made)
    return () => URL.revokeObjectURL(made)
  }, [blob])
  return url
}

function CameraView({ onTaken, onCancel }: { onTaken: (photo: Blob) => void; onCancel: () => void }) {
  const video = useRef<HTMLVideoElement>(null)
  const [ready, setReady] = useState(false)
  const [fault, setFault] = useState<CameraFault | null>(null)
  const [tries, setTries] = useState(0)
  useEffect(() => {
    let stream: MediaStream | null = null
    let left = false
    setFault(null)
    setReady(false)
    openCamera().then(
      (s) => {
        stream = s
        if (left) closeCamera(s)
        else if (video.current !== null) video.current.srcObject = s
      },
      (f: CameraFault) => !left && setFault(f),
    )
    return () => {
      left = true
      closeCamera(stream)
    }
  }, [tries])
  const take = async () => {
    const photo = video.current !== null ? await takePhoto(video.current) : null
    if (photo !== null) onTaken(photo)
  }
  if (fault !== null) {
    return (
      <div role="alert">
        <Notice
          tone="bad"
          title={cameraWords(fault).title}
          testId={'camera-' + fault}
          action={
            <>
              {fault !== 'insecure' && fault !== 'unsupported' && <Button onClick={() => setTries(tries + 1)}>Try again</Button>}
              <Button onClick={onCancel}>Back</Button>
            </>
          }
        >
          {cameraWords(fault).text}
        </Notice>
      </div>
    )
  }
  return (
    <div>
      <div className="relative overflow-hidden rounded-xl bg-black">
        <video
          ref={video}
          autoPlay
          muted
          playsInline
          aria-label="Camera preview"
          data-testid="camera-preview"
          onPlaying={() => setReady(true)}
          className={'max-h-[34rem] w-full -scale-x-100 object-contain ' + (ready ? '' : 'aspect-[4/3]')}
        />
        {!ready && (
          <div role="status" className="absolute inset-0 grid place-items-center text-white">
            <span className="flex items-center gap-2"><Spinner /> Starting the camera…</span>
          </div>
        )}
      </div>
      <div className="mt-3 flex flex-wrap gap-2">
        <Button variant="primary" disabled={!ready} onClick={take} data-testid="take-photo" autoFocus>
          <Camera /> Take photo
        </Button>
        <Button onClick={onCancel}>Cancel</Button>
      </div>
    </div>
  )
}

export function PhotoInput({ label, value, onChange, overlay, testId, compact = false, pastes = false, multiple = false }: {
  label: string
  value: Blob | null
  onChange: (photo: Blob | null) => void
  /** Drawn over the photo; `scale` is photo pixels per screen pixel. */
  overlay?: (size: Size, scale: number) => ReactNode
  testId: string
  compact?: boolean
  /** Whether a pasted picture lands here. */
  pastes?: boolean
  /** Whether several may be given at once; each is told by a call of its own. */
  multiple?: boolean
}) {
  const file = useRef<HTMLInputElement>(null)
  const image = useRef<HTMLImageElement>(null)
  const group = useRef<HTMLDivElement>(null)
  const id = useId()
  const [camera, setCamera] = useState(false)
  const [over, setOver] = useState(false)
  const [wrong, setWrong] = useState<string | null>(null)
  const [size, setSize] = useState<Size | null>(null)
  const [shownWidth, setShownWidth] = useState(0)
  const url = useObjectUrl(value)

  const take = (photos: Blob[]) => {
    const pictures = photos.filter((p) => p.type === '' || p.type.startsWith('image/')).slice(0, multiple ? undefined : 1)
    setWrong(pictures.length === 0 && photos.length > 0 ? 'That file is not a picture.' : null)
    if (pictures.length === 0) return
    leaveCamera()
    setSize(null)
    pictures.forEach(onChange)
  }
  /* The button that had the focus goes away: what follows begins at the group. */
  const leaveCamera = () => {
    if (camera) group.current?.focus()
    setCamera(false)
  }
  const remove = () => {
    group.current?.focus()
    onChange(null)
  }
  useEffect(() => {
    if (!pastes) return
    const pasted = (e: ClipboardEvent) => take([...(e.clipboardData?.files ?? [])].filter((f) => f.type.startsWith('image/')))
    addEventListener('paste', pasted)
    return () => removeEventListener('paste', pasted)
  })
  useEffect(() => {
    const element = image.current
    if (element === null) return
    const observer = new ResizeObserver(() => setShownWidth(element.clientWidth))
    observer.observe(element)
    return () => observer.disconnect()
  }, [url, camera])

  const drop = (e: DragEvent) => {
    e.preventDefault()
    setOver(false)
    take([...e.dataTransfer.files])
  }
  const drag = { onDragOver: (e: DragEvent) => (e.preventDefault(), setOver(true)), onDragLeave: () => setOver(false), onDrop: drop }
  const buttons = (
    <>
      <Button className={value === null ? '' : 'px-3'} onClick={() => file.current?.click()} data-testid={testId + '-choose'}>
        <PhotoIcon /> {value !== null ? 'Change' : multiple ? 'Choose photos' : 'Choose a photo'}
      </Button>
      <Button className={value === null ? '' : 'px-3'} onClick={() => setCamera(true)} data-testid={testId + '-camera'}>
        <Camera /> {value !== null ? 'Camera' : 'Use the camera'}
      </Button>
    </>
  )
  return (
    <div ref={group} role="group" tabIndex={-1} aria-labelledby={id} data-testid={testId} className="rounded-xl">
      <p id={id} className={value === null && !camera ? 'sr-only' : 'mb-2 text-sm font-medium'}>{label}</p>
      <input
        ref={file}
        type="file"
        accept="image/*"
        multiple={multiple}
        tabIndex={-1}
        aria-hidden="true"
        className="hidden"
        data-testid={testId + '-file'}
        onChange={(e) => {
          take([...(e.target.files ?? [])])
          e.target.value = ''
        }}
      />
      {camera ? (
        <CameraView onTaken={(photo) => take([photo])} onCancel={leaveCamera} />
      ) : value === null ? (
        <div
          {...drag}
          className={
            'flex flex-col items-center justify-center gap-3 rounded-xl border-2 border-dashed px-4 text-center transition-colors ' +
            (compact ? 'py-6 ' : 'min-h-64 py-8 ') + (over ? 'border-accent bg-accent-soft' : 'border-edge bg-page')
          }
        >
          <span className="grid size-12 place-items-center rounded-full bg-accent-soft text-accent"><PhotoIcon className="size-6" /></span>
          <p aria-hidden="true"><span className="font-medium">{label}</span><br /><span className="text-sm text-muted">{multiple ? 'Drop them here' : 'Drop it here'}{pastes && ', paste'}, or</span></p>
          <div className="flex flex-wrap justify-center gap-2">{buttons}</div>
        </div>
      ) : (
        <div {...drag}>
          <div className={'relative mx-auto w-fit overflow-hidden rounded-xl bg-sunken ' + (over ? 'outline-3 outline-accent' : '')}>
            {url !== null && (
              <img
                ref={image}
                src={url}
                alt={label}
                className={'block h-auto max-w-full ' + (compact ? 'max-h-64' : 'max-h-[34rem]')}
                onLoad={(e) => {
                  setSize({ width: e.currentTarget.naturalWidth, height: e.currentTarget.naturalHeight })
                  setShownWidth(e.currentTarget.clientWidth)
                }}
                onError={() => setWrong('The browser cannot show this picture; the server may still be able to read it.')}
              />
            )}
            {overlay !== undefined && size !== null && shownWidth > 0 && overlay(size, size.width / shownWidth)}
          </div>
          <div className="mt-3 flex flex-wrap gap-1.5 sm:gap-2">
            {buttons}
            <Button variant="quiet" className="px-2.5 sm:px-3" onClick={remove} aria-label={'Remove: ' + label}><Trash /> <span className="max-sm:sr-only">Remove</span></Button>
          </div>
        </div>
      )}
      {wrong !== null && <p role="alert" className="mt-2 text-sm text-bad">{wrong}</p>}
    </div>
  )
}
