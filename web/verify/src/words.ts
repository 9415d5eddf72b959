// Every word that the element says. A site replaces any of them through the property `texts`; instructions and hints of the server are translated there by
// their English text.

export const REASONS = [
  'camera_denied', 'camera_missing', 'camera_busy', 'camera_unsuitable', 'camera_insecure', 'camera_unsupported', 'camera_lost',
  'not_configured', 'unauthorized', 'forbidden', 'refused', 'unavailable', 'unreachable',
  'connection_failed', 'connection_lost', 'invalid_session', 'session_timeout', 'max_failures', 'replay_detected', 'invalid_nonce', 'deepfake_detected',
  'not_shown', 'score_too_low', 'too_large', 'server_error', 'cancelled',
] as const
export type Reason = (typeof REASONS)[number]

const OWN = {
  title: 'Show that you are really here',
  intro: 'Your camera films your face for up to two minutes while you follow three to five short instructions, such as smiling or turning your head.',
  prepare_light: 'Sit where light falls on your face, not behind you.',
  prepare_face: 'Be alone in the picture and take off sunglasses, hat or mask.',
  prepare_head: 'Instructions mean your own left and right.',
  consent: 'By starting you agree that pictures of your camera are sent to {host} and analysed there while the session lasts. ' +
    'No picture is stored; the result is kept in a log.',
  start: 'Agree and start the camera',
  camera_title: 'Allow the camera',
  camera_text: 'Your browser asks whether this page may use the camera. Choose "Allow".',
  ready_title: 'Place your face in the oval',
  ready_text: 'Hold the camera at eye level. When you begin, you have {seconds} seconds for each instruction.',
  begin: 'Begin',
  cancel: 'Cancel',
  skip: 'Skip this one',
  connecting_title: 'Connecting',
  connecting_text: 'One moment, the first instruction follows.',
  step: 'Instruction {number} of {total}',
  seconds_left: '{seconds} s',
  done: 'Done.',
  missed: 'Not seen.',
  waiting: 'Follow the instruction.',
  no_face: 'No face is seen. Look into the camera.',
  many_faces: 'More than one face is seen. Be alone in the picture.',
  scores: 'Scores',
  needed: 'The mark is at {threshold}, which is needed in all.',
  liveness: 'Liveness',
  emotion: 'Expression',
  deepfake: 'Genuineness',
  final: 'In all',
  success_title: 'You are verified',
  success_text: 'The proof is valid for {minutes} minutes.',
  token: 'Signed token',
  token_header: 'Header',
  token_claims: 'Claims',
  token_raw: 'As it is sent',
  failure_title: 'Not verified',
  again: 'Try again',
  preview: 'Your camera, as in a mirror',
}

const OF_REASONS: Record<Reason, string> = {
  camera_denied: 'The camera was not allowed. Open the settings of this page beside the address bar, allow the camera, and try again.',
  camera_missing: 'No camera was found. Connect one, or use a device that has one.',
  camera_busy: 'The camera cannot be read. Another program may be using it: close that program and try again.',
  camera_unsuitable: 'The camera has no picture size that can be used. Try another camera.',
  camera_insecure: 'Browsers give the camera only to pages that were loaded over HTTPS. Open this page with an address that begins with https://.',
  camera_unsupported: 'This browser gives pages no camera. Use a current version of Chrome, Edge, Firefox or Safari.',
  camera_lost: 'The camera was switched off during the session. Connect it again and try again.',
  not_configured: 'This page does not say who is to be verified. Tell its owner, please.',
  unauthorized: 'The server asks for an API key, and got none or a wrong one.',
  forbidden: 'The server does not let this page or this API key begin sessions.',
  refused: 'The server refused to begin a session: {message}',
  unavailable: 'The server cannot take another session right now. Wait a moment and try again.',
  unreachable: 'The server cannot be reached. Check your connection and try again.',
  connection_failed: 'The connection for the video could not be opened. Check your connection and try again.',
  connection_lost: 'The connection was lost. Check it and try again.',
  invalid_session: 'This session is not known, has expired or was used before. Begin a new one.',
  session_timeout: 'The time was up, or no pictures came for two seconds. Try again with a steady connection, and follow each instruction at once.',
  max_failures: 'Three instructions in a row were not seen. Try again: move clearly, and keep your whole face in the oval.',
  replay_detected: 'The pictures did not come in the order in which a camera takes them, or another face came in.',
  invalid_nonce: 'Pictures came that did not belong to this instruction.',
  deepfake_detected: 'The pictures do not look like those of a real camera. Switch off filters and virtual backgrounds, and try again.',
  not_shown: 'Too few of the instructions were seen. Try again: move clearly, and keep your whole face in the oval.',
  score_too_low: 'The score stayed below what is needed. Try again with good light and without filters.',
  too_large: 'A picture was larger than the server takes.',
  server_error: 'The server had a problem. Try again later.',
  cancelled: 'You ended the session.',
}

export const ENGLISH = { ...OWN, ...OF_REASONS }
export type Texts = typeof ENGLISH & { server: Readonly<Record<string, string>> }

/** `{name}` in a text stands for a value. */
export function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole))
}
