#!/usr/bin/env node
/* The peer as a server: detection, alignment and embedding with ONNX Runtime behind node's own HTTP server, as an application would write it.
 *
 *   peer_server.js PORT MODELS-DIR [PROCESSES]
 *
 * With PROCESSES > 1 a cluster of so many processes with one thread of ONNX Runtime each; with 1 one process whose ONNX Runtime takes all cores.
 * POST /embed: the bytes of a JPEG, or JSON {"image": base64}. GET /ready. */
'use strict';
const cluster = require('cluster');
const http = require('http');
const os = require('os');
const path = require('path');

const [port, models] = [Number(process.argv[2]), process.argv[3]], processes = Number(process.argv[4] || os.cpus().length);

async function serve() {
  const ort = require('onnxruntime-node');
  const sharp = require('sharp');
  const pipeline = require('./peer_pipeline.js');
  const threads = processes > 1 ? 1 : os.cpus().length;
  sharp.concurrency(threads);
  sharp.cache(false);
  const open = (name) => ort.InferenceSession.create(path.join(models, name), {
    executionProviders: ['cpu'], intraOpNumThreads: threads, interOpNumThreads: 1, graphOptimizationLevel: 'all', logSeverityLevel: 3,
  });
  const nets = { detect: await open('yunet_n.onnx'), embed: await open('espdl_mbf_512.onnx') };
  const free = []; /* work memory of requests that are over */

  async function embed(body, type) {
    const jpeg = type.startsWith('application/json') ? Buffer.from(JSON.parse(body).image, 'base64') : body;
    const { data, info } = await sharp(jpeg).rotate().removeAlpha().raw().toBuffer({ resolveWithObject: true });
    const memory = free.pop() || pipeline.memory();
    try {
      return await pipeline.embed(ort, nets, { px: data, width: info.width, height: info.height }, memory.canvas, memory.crop);
    } finally {
      free.push(memory);
    }
  }

  function answer(response, status, value) {
    const text = JSON.stringify(value);
    response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
    response.end(text);
  }

  http.createServer((request, response) => {
    if (request.method === 'GET') return answer(response, 200, { ready: true });
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      embed(parts.length === 1 ? parts[0] : Buffer.concat(parts), request.headers['content-type'] || '')
        .then((found) => answer(response, 200, found), (error) => answer(response, 400, { error: String(error.message || error) }));
    });
    return undefined;
  }).listen(port, '127.0.0.1');
}

if (processes > 1 && cluster.isPrimary) {
  for (let i = 0; i < processes; i++) cluster.fork();
  process.on('SIGTERM', () => {
    for (const one of Object.values(cluster.workers)) one.process.kill();
    process.exit(0);
  });
} else {
  serve();
}
