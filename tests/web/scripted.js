'use strict'
// A server that says what a test tells it to: pages, /auth/verify, and the WebSocket of a session. It speaks RFC 6455 as far as a browser's messages need it.
const crypto = require('node:crypto')
const fs = require('node:fs')
const http = require('node:http')

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const TYPES = { js: 'text/javascript', html: 'text/html; charset=utf-8', json: 'application/json' }

/** A frame of the server: unmasked, in one piece. */
function frame(opcode, payload) {
  const n = payload.length
  const head = n < 126 ? Buffer.from([0x80 | opcode, n]) : Buffer.from([0x80 | opcode, 126, n >> 8, n & 255])
  return Buffer.concat([head, payload])
}

/** Takes the first whole frame of the client from `bytes`: {opcode, payload, rest}, or null when more has to come. */
function unframe(bytes) {
  if (bytes.length < 6) return null
  let n = bytes[1] & 127
  let at = 2
  if (n === 126) [n, at] = [bytes.readUInt16BE(2), 4]
  else if (n === 127) {
    if (bytes.length < 10) return null
    ;[n, at] = [Number(bytes.readBigUInt64BE(2)), 10]
  }
  if (bytes.length < at + 4 + n) return null
  const mask = bytes.subarray(at, at + 4)
  const payload = Buffer.from(bytes.subarray(at + 4, at + 4 + n))
  for (let i = 0; i < n; i++) payload[i] ^= mask[i & 3]
  return { opcode: bytes[0] & 15, payload, rest: bytes.subarray(at + 4 + n) }
}

/** One WebSocket as a script sees it. */
class Peer {
  constructor(socket, url) {
    this.socket = socket
    this.url = url
    this.frames = [] // binary messages, as {stamp, nonce, jpeg}
    this.texts = []
    this.closed = new Promise((done) => (this.setClosed = done))
    this.waiting = []
    let bytes = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk])
      for (let got = unframe(bytes); got !== null; got = unframe(bytes)) {
        bytes = got.rest
        this.take(got.opcode, got.payload)
      }
    })
    socket.on('error', () => undefined)
    socket.on('close', () => this.setClosed(1006))
  }

  take(opcode, payload) {
    if (opcode === 8) {
      this.setClosed(payload.length >= 2 ? payload.readUInt16BE(0) : 1005)
      this.socket.end(this.closing ? undefined : frame(8, payload))
    } else if (opcode === 1) this.texts.push(payload.toString())
    else if (opcode === 2) {
      const nonce = payload.subarray(8, 24).toString('hex')
      this.frames.push({ stamp: Number(payload.readBigUInt64LE(0)), nonce, jpeg: payload.subarray(24) })
    }
    this.waiting = this.waiting.filter((look) => !look())
  }

  send(text) {
    this.socket.write(frame(1, Buffer.from(text)))
  }

  say(type, data = {}, message = '') {
    this.send(JSON.stringify({ type, message, data }))
  }

  close(code, reason = '') {
    const payload = Buffer.alloc(2 + Buffer.byteLength(reason))
    payload.writeUInt16BE(code, 0)
    payload.write(reason, 2)
    this.closing = true
    this.socket.write(frame(8, payload))
  }

  /** Resolves when `condition(this)` holds after a message of the client. */
  until(condition) {
    return new Promise((done) => {
      const look = () => condition(this) && (done(), true)
      if (!look()) this.waiting.push(look)
    })
  }
}

/** `pages`: path -> text or {file}. Set `auth` (what a POST is answered: {status, body}), or `proxy`
 * (body -> fetch's answer that is passed on), and `script` (async (peer) => ...) before a page uses them. */
async function scripted(pages) {
  const state = { auth: { status: 200, body: {} }, script: null, asked: [], peers: [], failure: null }
  const server = http.createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => (body += chunk))
    request.on('end', () => {
      const url = new URL(request.url, 'http://host')
      const headers = { 'Cache-Control': 'no-store', 'Content-Security-Policy': state.policy ?? '',
        'Access-Control-Allow-Origin': request.headers.origin ?? '*',
        'Access-Control-Allow-Headers': 'Authorization, Content-Type', 'Access-Control-Allow-Credentials': 'true' }
      if (request.method === 'OPTIONS') return response.writeHead(204, headers).end()
      if (request.method === 'POST') {
        state.asked.push({ path: url.pathname, headers: request.headers, body })
        if (state.auth === null) return request.socket.destroy()
        if (state.proxy) {
          return state.proxy(body).then(async (answer) =>
            response.writeHead(answer.status, { ...headers, 'Content-Type': 'application/json' }).end(await answer.text()))
        }
        const { status, body: answer } = state.auth
        const filled = JSON.stringify(answer).replaceAll('SELF', request.headers.host)
        return response.writeHead(status, { ...headers, 'Content-Type': 'application/json' }).end(filled)
      }
      const page = pages[url.pathname]
      if (page === undefined) return response.writeHead(404, headers).end()
      const type = TYPES[url.pathname.split('.').pop()] ?? TYPES.html
      response.writeHead(200, { ...headers, 'Content-Type': type }).end(typeof page === 'string' ? page : fs.readFileSync(page.file))
    })
  })
  server.on('upgrade', (request, socket) => {
    if (state.refuseUpgrade) return socket.end('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n')
    const accept = crypto.createHash('sha1').update(request.headers['sec-websocket-key'] + GUID).digest('base64')
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
    const peer = new Peer(socket, request.url)
    state.peers.push(peer)
    state.script?.(peer).catch((error) => (state.failure = error))
  })
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  state.port = server.address().port
  state.origin = `http://127.0.0.1:${state.port}`
  state.end = () => { server.closeAllConnections(); state.peers.forEach((p) => p.socket.destroy()); server.close() }
  return state
}

module.exports = { scripted }
