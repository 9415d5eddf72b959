'use strict'
// Debian's Chromium with a camera that is a clip, driven by playwright-core.
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const tap = require('./tap')

const ROOT = path.dirname(path.dirname(__dirname))
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const PATIENCE = 30_000 * Number(process.env.MIEN_SLOWDOWN ?? 1)

function needBrowser() {
  if (!fs.existsSync(CHROMIUM)) tap.skipAll(`${CHROMIUM} is not installed`)
  if (!fs.existsSync(path.join(__dirname, 'node_modules', 'playwright-core'))) tap.skipAll('playwright-core is not installed (./setup test)')
}

/** A folder that is gone when the suite ends, however it ends. */
function temporary() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mien-web-'))
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  return folder
}

/** `camera`: a file in Y4M or MJPEG, which is played in a loop; true: Chromium's test picture; false: there is none. `ask`: nobody answers the permission. */
async function launch({ camera = true, ask = false, args = [] } = {}) {
  const { chromium } = require('playwright-core')
  const home = temporary()
  const flags = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', ...args]
  if (camera !== false) flags.push('--use-fake-device-for-media-stream')
  if (!ask) flags.push('--use-fake-ui-for-media-stream')
  if (typeof camera === 'string') flags.push(`--use-file-for-fake-video-capture=${camera}`)
  const env = { ...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home }
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: flags, env })
  return { browser, close: () => browser.close() }
}

/** A page of a fresh context whose errors, console errors and requests are kept in the lists that come with it. */
async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 800 }, ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE)
  const errors = []
  const requests = []
  page.on('pageerror', (error) => errors.push(String(error)))
  page.on('console', (message) => { if (message.type() === 'error') errors.push(message.text()) })
  page.on('request', (request) => requests.push(request.url()))
  return { context, page, errors, requests, close: () => context.close() }
}

/** A picture for the eyes, when a folder for them is named. */
async function shot(page, name) {
  const folder = process.env.MIEN_SHOTS
  if (folder) await page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: true })
}

module.exports = { CHROMIUM, PATIENCE, ROOT, launch, needBrowser, open, shot, temporary }
