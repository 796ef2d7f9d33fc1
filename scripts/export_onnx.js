// Runs the ONNX models of a folder of cases (internal/exportcases, export_torch.py) in ONNX Runtime and
// compares them with the engine's logits, at two numbers and two sizes of images each.
const fs = require('fs')
const path = require('path')
const ort = require('onnxruntime-node')

const TOLERANCE = 1e-4 // of the largest output

// The float32 tensors of a safetensors file.
function read(file) {
  const data = fs.readFileSync(file)
  const length = Number(data.readBigUInt64LE(0))
  const header = JSON.parse(data.subarray(8, 8 + length).toString())
  const tensors = {}
  for (const [name, t] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const bytes = data.subarray(8 + length + t.data_offsets[0], 8 + length + t.data_offsets[1])
    tensors[name] = { shape: t.shape, values: new Float32Array(new Uint8Array(bytes).buffer) }
  }
  return tensors
}

function softmax(logits, classes) {
  const out = Float32Array.from(logits)
  for (let i = 0; i < out.length; i += classes) {
    const row = out.subarray(i, i + classes)
    const top = Math.max(...row)
    const sum = row.reduce((s, v) => s + Math.exp(v - top), 0)
    row.forEach((v, k) => { row[k] = Math.exp(v - top) / sum })
  }
  return out
}

// The largest difference of two lists, relative to the largest number.
function difference(a, b) {
  let worst = 0
  let largest = 0
  for (let i = 0; i < b.length; i++) {
    worst = Math.max(worst, Math.abs(a[i] - b[i]))
    largest = Math.max(largest, Math.abs(b[i]))
  }
  return a.length === b.length ? worst / largest : Infinity
}

async function main(folder) {
  const { cases } = JSON.parse(fs.readFileSync(path.join(folder, 'cases.json')))
  let faults = 0
  let runs = 0
  for (const { name } of cases) {
    for (const variant of ['folded', 'kept', 'whole']) {
      const session = await ort.InferenceSession.create(path.join(folder, name, variant + '.onnx'), { logSeverityLevel: 3 })
      for (const file of ['0-1', '0-3', '1-1', '1-3']) {
        const want = read(path.join(folder, name, file + '.safetensors'))
        const whole = variant === 'whole' // softmax and normalisation are inside
        const images = want[whole ? 'images' : 'normalised']
        const given = await session.run({ images: new ort.Tensor('float32', images.values, images.shape) })
        const logits = want.logits.values
        const worst = whole
          ? difference(given.probabilities.data, softmax(logits, want.logits.shape[1]))
          : difference(given.logits.data, logits)
        runs++
        if (!(worst <= TOLERANCE)) {
          faults++
          console.log(`FAIL ${name}: ${variant}.onnx differs from the engine by ${worst.toExponential(1)} on ${file}`)
        }
      }
      await session.release()
    }
  }
  console.log(`ONNX Runtime: ${cases.length} networks, ${runs} runs, ${faults} faults`)
  process.exit(faults ? 1 : 0)
}

main(process.argv[2])
