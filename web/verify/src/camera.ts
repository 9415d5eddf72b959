// The camera: opening it, in words for every way in which that fails, and pictures of it as JPEG. Nothing is kept.
import type { Reason } from './words'

/** An attempt is over; `reason` says why, `detail` what else is known. */
export class Failure extends Error {
  constructor(readonly reason: Reason, readonly detail: Readonly<Record<string, unknown>> = {}) {
    super(reason)
  }
}

const LONGEST_SIDE = 640
const QUALITY = 0.8
const RELEASE_MS = 800
const REASON_OF_ERROR: Readonly<Record<string, Reason>> = {
  NotAllowedError: 'camera_denied', SecurityError: 'camera_denied', NotFoundError: 'camera_missing', DevicesNotFoundError: 'camera_missing',
  NotReadableError: 'camera_busy', AbortError: 'camera_busy', OverconstrainedError: 'camera_unsuitable', TypeError: 'camera_insecure',
}

/** The camera's stream; its tracks are stopped when `signal` aborts, also when the browser's permission comes after that. */
export async function openCamera(signal: AbortSignal): Promise<MediaStream> {
  if (!window.isSecureContext) throw new Failure('camera_insecure')
  const devices = navigator.mediaDevices as MediaDevices | undefined
  if (devices?.getUserMedia === undefined) throw new Failure('camera_unsupported')
  const open = () => devices.getUserMedia({ audio: false, video: { facingMode: 'user', width: { ideal: 640 }, height: { ideal: 480 } } })
  const reasonOf = (error: unknown) => REASON_OF_ERROR[error instanceof Error ? error.name : ''] ?? 'camera_busy'
  let stream: MediaStream
  try {
    stream = await open().catch(async (error: unknown) => {
      if (reasonOf(error) !== 'camera_busy' || signal.aborted) throw error
      await new Promise((done) => setTimeout(done, RELEASE_MS)) // whoever had it may be about to let it go
      return open()
    })
  } catch (error) {
    throw new Failure(reasonOf(error))
  }
  const stop = () => stream.getTracks().forEach((track) => track.stop())
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop)
  signal.throwIfAborted()
  return stream
}

/** Rejects when the camera is unplugged or its permission taken away. */
export function cameraLost(stream: MediaStream): Promise<never> {
  return new Promise((_, reject) => {
    for (const track of stream.getVideoTracks()) track.addEventListener('ended', () => reject(new Failure('camera_lost')))
  })
}

/** Shows the stream in `video` and waits for its first picture. */
export async function show(video: HTMLVideoElement, stream: MediaStream, signal: AbortSignal): Promise<void> {
  video.srcObject = stream
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => reject(new Failure('camera_busy')), 15_000)
    signal.addEventListener('abort', () => (clearTimeout(late), reject(signal.reason as Error)))
    video.addEventListener('loadeddata', () => (clearTimeout(late), resolve()), { once: true, signal })
    video.play().catch(() => undefined) // refused only where autoplay is: `loadeddata` comes all the same
  })
}

/** Pictures of a video, not mirrored, at most 640 on the longer side. */
export class Snapshots {
  readonly #canvas = document.createElement('canvas')

  constructor(readonly video: HTMLVideoElement) {}

  /** null: there is no picture yet. */
  async jpeg(): Promise<ArrayBuffer | null> {
    const { videoWidth, videoHeight } = this.video
    if (videoWidth === 0 || videoHeight === 0) return null
    const scale = Math.min(1, LONGEST_SIDE / Math.max(videoWidth, videoHeight))
    const canvas = this.#canvas
    canvas.width = Math.round(videoWidth * scale)
    canvas.height = Math.round(videoHeight * scale)
    canvas.getContext('2d')?.drawImage(this.video, 0, 0, canvas.width, canvas.height)
    const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/jpeg', QUALITY))
    return blob === null ? null : blob.arrayBuffer()
  }

  clear(): void {
    this.#canvas.width = this.#canvas.height = 0
  }
}
