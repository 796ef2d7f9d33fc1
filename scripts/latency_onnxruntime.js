// Measures an ONNX model in ONNX Runtime on the processor, as `netspace bench infer --latency` asks for it:
// node latency_onnxruntime.js FILE BATCH THREADS CHANNELS HEIGHT WIDTH prints the milliseconds of each run.
// ONNXRUNTIME_SECONDS says how long it measures for (1); a tenth of that goes before to warm up.
const ort = require('onnxruntime-node')

async function main(file, [batch, threads, ...image]) {
  const seconds = Number(process.env.ONNXRUNTIME_SECONDS || 1)
  const session = await ort.InferenceSession.create(file, {
    logSeverityLevel: 3, graphOptimizationLevel: 'all', executionMode: 'sequential', intraOpNumThreads: threads, interOpNumThreads: 1,
  })
  const values = new Float32Array(image.reduce((a, b) => a * b, batch))
  for (let i = 0; i < values.length; i++) values[i] = 2 * Math.random() - 1
  const images = new ort.Tensor('float32', values, [batch, ...image])
  const run = async (least, limit) => {
    const took = []
    for (const begin = performance.now(); took.length < least || performance.now() - begin < limit;) {
      const start = performance.now()
      await session.run({ images })
      took.push(performance.now() - start)
    }
    return took
  }
  await run(2, 100 * seconds)
  console.log((await run(3, 1000 * seconds)).join('\n'))
}

main(process.argv[2], process.argv.slice(3).map(Number)).catch((e) => {
  console.error(e.message)
  process.exit(1)
})
