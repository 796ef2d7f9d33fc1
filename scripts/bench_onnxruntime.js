// How long do networks take for a batch of 1 and of 64 images, against ONNX Runtime?
//
// For a population of small networks of the method, on one thread in float32: the fastest of many runs of
// `netspace bench infer` on the engine, and of the same network in ONNX Runtime (latency_onnxruntime.js): what other
// programs on the machine disturb least. Every measurement is a process of its own; the two take turns, so that both
// see the same machine, and the best round counts for each. Arguments: --rounds N (3), --seconds S for each measurement (0.5), --batch 1,64,
// --only TEXT for the networks whose name has the text, --profile for what the engine's time goes to where
// it is the slower one.
const fs = require('fs')
const os = require('os')
const path = require('path')
const { execFileSync } = require('child_process')

const GOAL_MEAN = 1 // of netspace's time over ONNX Runtime's, geometric mean
const GOAL_MOST = 1.2

const cifar = { type: 'cifar', width: 16 }

function regnet(pixels, depth, w0, wa, wm, g, rest) {
  return { family: 'regnet', stem: cifar, depth, w0, wa, wm, bottleneck: 1, group_width: g, ...rest, resolution: pixels, channels: pixels === 28 ? 1 : 3, classes: 10 }
}

// stages: [depth, width, stride]; g is the group width.
function anynet(pixels, block, b, g, stages, rest) {
  return {
    family: 'anynet', block, stem: cifar, ...rest, resolution: pixels, channels: pixels === 28 ? 1 : 3, classes: 10,
    stages: stages.map(([depth, width, stride]) => ({ depth, width, stride, ...(block.startsWith('bottleneck') ? { bottleneck: b, group_width: g } : {}) })),
  }
}

const POPULATION = {
  'RegNetX-28-1M': regnet(28, 6, 16, 10, 2.2, 8, {}),
  'RegNetX-28-3M': regnet(28, 9, 24, 16, 2.1, 8, {}),
  'RegNetX-28-g16': regnet(28, 8, 32, 18, 2.2, 16, {}),
  'RegNetX-28-g24': regnet(28, 8, 24, 18, 2.2, 24, {}),
  'RegNetX-32-g4': regnet(32, 12, 24, 12, 2, 4, {}),
  'RegNetX-32-g16': regnet(32, 13, 32, 14, 2, 16, {}),
  'RegNetY-28-3M': regnet(28, 9, 24, 16, 2.1, 8, { se: 0.25 }),
  'RegNetY-32-g16': regnet(32, 12, 32, 20, 2.2, 16, { se: 0.25 }),
  'AnyNetX-28-g8': anynet(28, 'bottleneck', 1, 8, [[1, 24, 1], [2, 56, 2], [5, 120, 2]]),
  'AnyNetX-28-g2-b2': anynet(28, 'bottleneck', 2, 2, [[1, 32, 1], [3, 64, 2], [2, 144, 2]]),
  'AnyNetX-28-depthwise': anynet(28, 'bottleneck', 1, 1, [[1, 32, 1], [3, 64, 2], [4, 160, 2]]),
  'AnyNetR-32': anynet(32, 'basic', 1, 0, [[1, 16, 1], [1, 32, 2], [1, 64, 2]]),
  'AnyNetX-32-linear': anynet(32, 'bottleneck-linear', 0.25, 1, [[1, 16, 1], [3, 24, 2], [3, 40, 2]]),
  'EffNet-32': {
    family: 'effnet', stem: cifar, se: 0.25, activation: 'silu', head_width: 128, resolution: 32, channels: 3, classes: 10,
    stages: [{ depth: 1, width: 16, stride: 1, expand: 1, kernel: 3 }, { depth: 2, width: 24, stride: 2, expand: 4, kernel: 3 }, { depth: 2, width: 40, stride: 2, expand: 4, kernel: 5 }],
  },
  'RegNetX-200MF': 'RegNetX-200MF',
  'RegNetX-400MF': 'RegNetX-400MF',
  'RegNetY-200MF': 'RegNetY-200MF',
}

function options(argv) {
  const o = { rounds: 3, seconds: 0.5, batch: '1,64', only: '', profile: false }
  for (let i = 0; i < argv.length; i++) {
    const name = argv[i].replace(/^--/, '')
    if (!(name in o)) throw new Error(`${argv[i]}: the arguments are --${Object.keys(o).join(', --')}`)
    o[name] = name === 'profile' ? true : typeof o[name] === 'number' ? Number(argv[++i]) : argv[++i]
  }
  return o
}

function infer(model, batch, seconds, ...more) {
  const out = execFileSync('bin/netspace', ['bench', 'infer', '--json', '--quiet', '--batch', String(batch), ...more, model], {
    env: { ...process.env, ONNXRUNTIME_SECONDS: String(seconds) }, encoding: 'utf8',
  })
  return JSON.parse(out).fastest
}

const geomean = (values) => Math.exp(values.reduce((s, v) => s + Math.log(v), 0) / values.length)

function main(argv) {
  const o = options(argv)
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'netspace-bench-'))
  process.on('exit', () => fs.rmSync(dir, { recursive: true }))
  const command = JSON.stringify({ command: [process.execPath, path.join(__dirname, 'latency_onnxruntime.js')] })
  console.log(os.cpus()[0].model + ', one thread; milliseconds of a batch\n')
  console.log('| network | mult-adds | batch | ONNX Runtime | netspace | ratio |')
  console.log('|---|---:|---:|---:|---:|---:|')
  const ratios = []
  for (const [name, spec] of Object.entries(POPULATION)) {
    if (!name.includes(o.only)) continue
    const model = typeof spec === 'string' ? spec : path.join(dir, name + '.json')
    if (model !== spec) fs.writeFileSync(model, JSON.stringify(spec))
    const { flops } = JSON.parse(execFileSync('bin/netspace', ['complexity', '--json', model], { encoding: 'utf8' }))
    for (const batch of o.batch.split(',')) {
      let [ours, theirs] = [Infinity, Infinity]
      for (let round = 0; round < o.rounds; round++) {
        ours = Math.min(ours, infer(model, batch, o.seconds, '--seconds', String(o.seconds)))
        theirs = Math.min(theirs, infer(model, batch, o.seconds, '--latency', command))
      }
      const ratio = ours / theirs
      ratios.push({ ratio, of: `${name} at batch ${batch}` })
      console.log(`| ${name} | ${(flops / 1e6).toFixed(1)}M | ${batch} | ${theirs.toFixed(3)} | ${ours.toFixed(3)} | ${ratio.toFixed(2)} |`)
      if (o.profile && ratio > 1) {
        console.log(execFileSync('bin/netspace', ['bench', 'infer', '--quiet', '--batch', batch, '--profile', model], { encoding: 'utf8' }))
      }
    }
  }
  const worst = ratios.reduce((a, b) => (b.ratio > a.ratio ? b : a))
  const mean = geomean(ratios.map((r) => r.ratio))
  const say = (met, text) => console.log(`- ${met ? 'met' : 'MISSED'}: ${text}`)
  console.log()
  say(mean < GOAL_MEAN, `time over ONNX Runtime's: geometric mean ${mean.toFixed(2)} (goal: below ${GOAL_MEAN})`)
  say(worst.ratio <= GOAL_MOST, `most ${worst.ratio.toFixed(2)}, ${worst.of} (goal: ${GOAL_MOST})`)
}

main(process.argv.slice(2))
