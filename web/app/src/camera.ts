// The camera for one photo, and what its errors mean.

export type CameraFault = 'insecure' | 'unsupported' | 'denied' | 'none' | 'busy' | 'unknown'

const WORDS: Record<CameraFault, { title: string; text: string }> = {
  insecure: {
    title: 'The camera needs a secure address',
    text: 'Browsers give pages a camera only over HTTPS or on localhost. Open this page by its https:// address, or choose a photo instead.',
  },
  unsupported: {
    title: 'This browser has no camera support',
    text: 'Use a current version of Chrome, Edge, Firefox or Safari, or choose a photo instead.',
  },
  denied: {
    title: 'Camera access was denied',
    text: 'Allow the camera for this page in the browser\u2019s address bar or in the system\u2019s privacy settings, then try again.',
  },
  none: { title: 'No camera was found', text: 'Connect a camera and try again, or choose a photo instead.' },
  busy: {
    title: 'The camera is in use',
    text: 'Another program or tab is using it, or it was unplugged. Close that program and try again.',
  },
  unknown: { title: 'The camera could not be started', text: 'Try again, or choose a photo instead.' },
}

export const cameraWords = (fault: CameraFault) => WORDS[fault]

export function faultOf(e: unknown): CameraFault {
  switch (e instanceof DOMException ? e.name : '') {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'denied'
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'none'
    case 'NotReadableError':
    case 'AbortError':
      return 'busy'
    default:
      return 'unknown'
  }
}

/** Throws a CameraFault. */
export async function openCamera(): Promise<MediaStream> {
  if (!isSecureContext) throw 'insecure' satisfies CameraFault
  if (navigator.mediaDevices?.getUserMedia === undefined) throw 'unsupported' satisfies CameraFault
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { facingMode: 'user', width: { ideal: 1280 }, height: { ideal: 720 } },
    })
  } catch (e) {
    throw faultOf(e)
  }
}

export function closeCamera(stream: MediaStream | null): void {
  for (const track of stream?.getTracks() ?? []) track.stop()
}

/** The picture that the video shows now, not mirrored. */
export function takePhoto(video: HTMLVideoElement): Promise<Blob | null> {
  const canvas = document.createElement('canvas')
  canvas.width = video.videoWidth
  canvas.height = video.videoHeight
  canvas.getContext('2d')?.drawImage(video, 0, 0)
  return new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.92))
}
