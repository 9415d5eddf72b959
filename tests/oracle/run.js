#!/usr/bin/env node
/* ONNX Runtime over a list of jobs, for comparison with the engine.
 *
 * usage: run.js JOBS.json        (or - for standard input)
 * JOBS: [{"model": file, "inputs": [{"name"?, "shape": [...], "file": raw float32}], "outputs": folder, "repeat"?: n}, ...]
 * Inputs without a name go to the model's inputs in order. For each job the outputs are written to folder/0.f32, 1.f32 ...
 * in the model's order (integers and booleans as float32), and one line of JSON is printed:
 * {"model", "outputs": [{"name", "shape", "file"}], "ms_min", "ms_p50"} or {"model", "error"}. One thread. */
'use strict';
const fs = require('fs');
const path = require('path');
const ort = require('onnxruntime-node');

function readFloats(file, shape) {
  const raw = fs.readFileSync(file);
  const count = shape.reduce((a, b) => a * b, 1);
  if (raw.length !== count * 4) throw new Error(`${file}: ${raw.length} bytes, shape needs ${count * 4}`);
  return new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));
}

async function timed(session, feeds, repeat) {
  const times = [];
  let results;
  for (let i = 0; i < repeat; i++) {
    const start = process.hrtime.bigint();
    results = await session.run(feeds);
    times.push(Number(process.hrtime.bigint() - start) / 1e6);
  }
  times.sort((a, b) => a - b);
  return { results, ms_min: times[0], ms_p50: times[times.length >> 1] };
}

async function runJob(job) {
  const session = await ort.InferenceSession.create(job.model, {
    executionProviders: ['cpu'], intraOpNumThreads: 1, interOpNumThreads: 1, graphOptimizationLevel: 'all', logSeverityLevel: 3,
  });
  const feeds = {};
  job.inputs.forEach((input, i) => {
    feeds[input.name || session.inputNames[i]] = new ort.Tensor('float32', readFloats(input.file, input.shape), input.shape);
  });
  const { results, ms_min, ms_p50 } = await timed(session, feeds, job.repeat || 1);
  const outputs = session.outputNames.map((name, i) => {
    const tensor = results[name];
    const values = tensor.data instanceof Float32Array ? tensor.data : Float32Array.from(tensor.data, Number);
    const file = path.join(job.outputs, `${i}.f32`);
    fs.mkdirSync(job.outputs, { recursive: true });
    fs.writeFileSync(file, Buffer.from(values.buffer, values.byteOffset, values.byteLength));
    return { name, shape: tensor.dims, file };
  });
  await session.release();
  return { model: job.model, outputs, ms_min, ms_p50 };
}

async function main() {
  const where = process.argv[2];
  if (!where) throw new Error('usage: run.js JOBS.json');
  const jobs = JSON.parse(fs.readFileSync(where === '-' ? 0 : where, 'utf8'));
  for (const job of jobs) {
    let line;
    try {
      line = await runJob(job);
    } catch (e) {
      line = { model: job.model, error: String(e.message || e) };
    }
    process.stdout.write(JSON.stringify(line) + '\n');
  }
}

main().catch((e) => {
  process.stderr.write(`${e.message || e}\n`);
  process.exit(2);
});
