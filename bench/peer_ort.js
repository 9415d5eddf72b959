#!/usr/bin/env node
/* ONNX Runtime as a peer: times networks and the whole pipeline on request, one thread.
 *
 * Reads one JSON request a line, answers one JSON line each:
 *   {"net": "file.onnx", "shapes": [[1,3,112,112]], "seconds": 0.3}      -> {"ms": [...]}
 *   {"pipeline": {"detect": file, "embed": file, "pixels": file, "width": w, "height": h}, "seconds": 1} -> {"ms": [...], "faces": n, "embedding": [...]}
 * Sessions are kept, so that a driver can interleave several programs. The pipeline is what an application writes: letterbox to 640, YuNet,
 * decoding, suppression, similarity transform to ArcFace's template, warp, embedding; `pixels` is raw RGB. */
'use strict';
const fs = require('fs');
const readline = require('readline');
const ort = require('onnxruntime-node');
const pipeline = require('./peer_pipeline.js');

const sessions = new Map();

async function open(file) {
  if (!sessions.has(file)) {
    sessions.set(file, await ort.InferenceSession.create(file, {
      executionProviders: ['cpu'], intraOpNumThreads: 1, interOpNumThreads: 1, graphOptimizationLevel: 'all', logSeverityLevel: 3,
    }));
  }
  return sessions.get(file);
}

function noise(count) {
  const out = new Float32Array(count);
  let x = 12345;
  for (let i = 0; i < count; i++) {
    x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
    out[i] = (x >>> 8) / 8388608 * 2 - 1;
  }
  return out;
}

async function repeat(seconds, once) {
  for (let i = 0; i < 2; i++) await once();
  const ms = [];
  const begin = process.hrtime.bigint();
  while (ms.length < 5 || Number(process.hrtime.bigint() - begin) < seconds * 1e9) {
    const start = process.hrtime.bigint();
    await once();
    ms.push(Number(process.hrtime.bigint() - start) / 1e6);
    if (ms.length >= 2000) break;
  }
  return ms;
}

async function timeNet(request) {
  const session = await open(request.net);
  const feeds = {};
  session.inputNames.forEach((name, i) => {
    const shape = request.shapes[i];
    feeds[name] = new ort.Tensor('float32', noise(shape.reduce((a, b) => a * b, 1)), shape);
  });
  return { ms: await repeat(request.seconds, () => session.run(feeds)) };
}

async function timePipeline(request) {
  const p = request.pipeline, photo = { px: fs.readFileSync(p.pixels), width: p.width, height: p.height };
  const nets = { detect: await open(p.detect), embed: await open(p.embed) }, { canvas, crop } = pipeline.memory();
  let found;
  const ms = await repeat(request.seconds, async () => {
    found = await pipeline.embed(ort, nets, photo, canvas, crop);
    if (found.faces === 0) throw new Error('no face found');
  });
  return { ms, ...found };
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer;
    try {
      const request = JSON.parse(line);
      answer = await (request.pipeline ? timePipeline(request) : timeNet(request));
    } catch (e) {
      answer = { error: String(e.message || e) };
    }
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
}

main();
