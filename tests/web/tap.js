'use strict'
// TAP output, and tests that run one after another, each with a time limit of its own.

let number = 0
let failed = 0
const tests = []

function check(name, good, detail = '') {
  number++
  if (!good) failed++
  const shown = typeof detail === 'string' ? detail : JSON.stringify(detail)
  console.log(`${good ? 'ok' : 'not ok'} ${number} - ${name}${good || shown === '' ? '' : ` (${String(shown).replace(/\s+/g, ' ').slice(0, 700)})`}`)
  return good
}

const equal = (name, got, wanted) => check(name, JSON.stringify(got) === JSON.stringify(wanted), `${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`)

function skip(name, reason) {
  number++
  console.log(`ok ${number} - ${name} # SKIP ${reason}`)
}

/** The whole suite needs what is not there. */
function skipAll(reason) {
  console.log(`ok 1 - browser # SKIP ${reason}\n1..1`)
  process.exit(0)
}

const test = (name, body, seconds = 60) => tests.push({ name, body, seconds })

async function run(finish) {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => process.exit(1))
  const only = process.argv[2]
  for (const { name, body, seconds } of tests) {
    if (only !== undefined && !name.includes(only)) continue
    let timer
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`takes longer than ${seconds} s`)), 1000 * seconds)))
    try {
      await Promise.race([body(), late])
    } catch (error) {
      check(name, false, String(error instanceof Error ? error.stack : error))
    } finally {
      clearTimeout(timer)
    }
  }
  await finish()
  console.log(`1..${number}`)
  process.exit(failed > 0 ? 1 : 0)
}

module.exports = { check, equal, run, skip, skipAll, test }
