'use strict'
// A running `mien serve` with a data folder of its own, and the photos that the browser tests show to it.
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')
const { PATIENCE, ROOT, temporary } = require('./browser')
const tap = require('./tap')

const MIEN = path.resolve(process.env.MIEN ?? path.join(ROOT, 'build', 'mien'))
const MODELS = path.resolve(process.env.MIEN_MODELS ?? path.join(ROOT, 'models', 'local'))
const WEB = path.resolve(process.env.WEB_DIR ?? path.join(ROOT, 'build', 'web'))
const PHOTOS = path.join(ROOT, 'tools/models/node_modules/@vladmandic/face-api/demo')
const photo = (n) => path.join(PHOTOS, `sample${n}.jpg`)

function needServer() {
  if (!fs.existsSync(MIEN)) throw new Error(`${MIEN} is not built`)
  if (!fs.existsSync(path.join(MODELS, 'manifest.json'))) tap.skipAll('no models are installed (./setup)')
  if (!fs.existsSync(path.join(WEB, 'index.html'))) tap.skipAll('the web page is not built (npm has not been reachable: make web)')
}

/** Whether the installed pack has a network for this. */
const hasRole = (role) => Boolean(JSON.parse(fs.readFileSync(path.join(MODELS, 'manifest.json'))).roles[role])

function freePort() {
  return new Promise((done) => {
    const s = net.createServer().listen(0, '127.0.0.1', () => { const { port } = s.address(); s.close(() => done(port)) })
  })
}

/** `env`: what the test configures; nothing else of the caller's configuration gets in. */
async function serve(env = {}) {
  const folder = temporary()
  const port = await freePort()
  const kept = ['PATH', 'HOME', 'LANG', 'LD_LIBRARY_PATH', 'OMP_NUM_THREADS'].filter((name) => process.env[name] !== undefined)
  const inherited = Object.fromEntries(kept.map((name) => [name, process.env[name]]))
  const child = spawn(MIEN, ['serve'], { cwd: ROOT, stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...inherited, MIEN_MODELS: MODELS, HOST: '127.0.0.1', PORT: String(port), DATA_DIR: folder, WEB_DIR: WEB, ...env } })
  process.on('exit', () => child.kill('SIGKILL')) // a suite that is ended from outside leaves no server behind
  const state = { origin: `http://127.0.0.1:${port}`, port, folder, text: '' }
  child.stderr.on('data', (chunk) => (state.text += chunk))
  const gone = new Promise((done) => child.on('exit', done))
  state.stop = async () => {
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), PATIENCE)
    const status = await gone
    clearTimeout(late)
    return status
  }
  for (const end = Date.now() + 2 * PATIENCE; Date.now() < end; await new Promise((done) => setTimeout(done, 100))) {
    if (child.exitCode !== null) throw new Error(`mien serve ended with ${child.exitCode}: ${state.text.slice(-1500)}`)
    const answer = await fetch(`${state.origin}/readyz`).catch(() => null)
    if (answer?.status === 200) return state
  }
  await state.stop()
  throw new Error(`mien serve does not become ready: ${state.text.slice(-1500)}`)
}

module.exports = { hasRole, needServer, photo, serve }
