// Prints the results of a run of the conformance suite by section. Fails if the failed required and
// optimal cases differ from those of a list.
//
//   node http_suite.mjs SUITE RESULTS.json [LIST]

import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [suite, resultsFile, listFile] = process.argv.slice(2)
const load = async file => (await import(pathToFileURL(path.join(suite, 'tests', file)))).default
const suites = await load('index.mjs')
// The client of 0.4.5 adds this suite by itself.
if (fs.existsSync(path.join(suite, 'tests/surrogate-control.mjs'))) {
  suites.push(await load('surrogate-control.mjs'))
}
const results = JSON.parse(fs.readFileSync(resultsFile, 'utf8'))

const cases = new Map(suites.flatMap(({ tests }) => tests).map(test => [test.id, test]))
const kindOf = test => test.kind ?? 'required'

// The reason for which a case fails, or nothing. A case fails if one on which it depends fails.
function fault (id) {
  for (const on of cases.get(id)?.depends_on ?? []) {
    if (fault(on)) return `depends on ${on}`
  }
  const result = results[id]
  if (result === undefined) return 'has no result'
  return result === true ? undefined : result.join(': ')
}

const kinds = ['required', 'optimal', 'check']
const row = (name, cells) => console.log(name.slice(0, 60).padEnd(62) + cells.map(cell => cell.padStart(10)).join(''))
const played = tests => tests.filter(test => test.browser_only !== true)
const score = tests => kinds.map(kind => {
  const all = played(tests).filter(test => kindOf(test) === kind)
  return all.length === 0 ? '' : `${all.filter(({ id }) => !fault(id)).length}/${all.length}`
})
row('', kinds)
for (const { name, tests } of suites) row(name, score(tests))
row('all', score([...cases.values()]))

const missed = new Map(played([...cases.values()])
  .filter(test => kindOf(test) !== 'check' && fault(test.id))
  .map(test => [test.id, `${kindOf(test)}: ${test.name}: ${fault(test.id)}`]))
if (!listFile) {
  console.log(`\n${missed.size} required or optimal cases are not passed, and there is no list to compare them with:`)
  for (const [id, what] of missed) console.log(`  ${id} (${what})`)
  process.exit(0)
}

const differences = []
const listed = new Set()
for (const line of fs.readFileSync(listFile, 'utf8').split('\n')) {
  if (line.trim() === '' || line.startsWith('#')) continue
  const [id, ...reason] = line.trim().split(/\s+/)
  if (listed.has(id)) differences.push(`${id}: listed twice`)
  listed.add(id)
  if (!cases.has(id)) differences.push(`${id}: listed, and no case of this suite`)
  else if (!missed.has(id)) differences.push(`${id}: listed, and passed: take it off the list`)
  if (reason.length === 0) differences.push(`${id}: listed without a reason`)
}
for (const [id, what] of missed) {
  if (!listed.has(id)) differences.push(`${id}: not passed (${what})`)
}
if (differences.length > 0) {
  console.error(`\n${differences.length} differences from ${listFile}:`)
  for (const difference of differences) console.error(`  ${difference}`)
  process.exit(1)
}
console.log(`\nAs ${listFile} says: ${listed.size} required or optimal cases are not passed, each for its reason.`)
