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

/* ---- the pipeline ---- */

const TEMPLATE = [38.2946, 51.6963, 73.5318, 51.5014, 56.0252, 71.7366, 41.5493, 92.3655, 70.7299, 92.2041];
const SIZE = 640;

/* Bilinear, planar BGR, black below and to the right. */
function letterbox(px, w, h, out) {
  const scale = Math.min(SIZE / w, SIZE / h), cw = Math.round(w * scale), ch = Math.round(h * scale), plane = SIZE * SIZE;
  out.fill(0);
  for (let v = 0; v < ch; v++) {
    const y = Math.min(Math.max((v + 0.5) / scale - 0.5, 0), h - 1), y0 = y | 0, y1 = Math.min(y0 + 1, h - 1), fy = y - y0;
    for (let u = 0; u < cw; u++) {
      const x = Math.min(Math.max((u + 0.5) / scale - 0.5, 0), w - 1), x0 = x | 0, x1 = Math.min(x0 + 1, w - 1), fx = x - x0;
      const a = 3 * (y0 * w + x0), b = 3 * (y0 * w + x1), c = 3 * (y1 * w + x0), d = 3 * (y1 * w + x1), at = v * SIZE + u;
      for (let k = 0; k < 3; k++) {
        const top = px[a + k] + (px[b + k] - px[a + k]) * fx, low = px[c + k] + (px[d + k] - px[c + k]) * fx;
        out[(2 - k) * plane + at] = top + (low - top) * fy;
      }
    }
  }
  return scale;
}

function decode(result) {
  const found = [];
  for (const stride of [8, 16, 32]) {
    const cls = result[`cls_${stride}`].data, obj = result[`obj_${stride}`].data, box = result[`bbox_${stride}`].data, kps = result[`kps_${stride}`].data;
    const columns = SIZE / stride;
    for (let i = 0; i < cls.length; i++) {
      const score = Math.sqrt(Math.min(Math.max(cls[i], 0), 1) * Math.min(Math.max(obj[i], 0), 1));
      if (score < 0.6) continue;
      const px = (i % columns) * stride, py = Math.floor(i / columns) * stride;
      const cx = box[4 * i] * stride + px, cy = box[4 * i + 1] * stride + py, w = Math.exp(box[4 * i + 2]) * stride, h = Math.exp(box[4 * i + 3]) * stride;
      const points = [];
      for (let k = 0; k < 5; k++) points.push(kps[10 * i + 2 * k] * stride + px, kps[10 * i + 2 * k + 1] * stride + py);
      found.push({ score, box: [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], points });
    }
  }
  return found.sort((a, b) => b.score - a.score);
}

const area = (b) => (b[2] - b[0]) * (b[3] - b[1]);

function overlap(a, b) {
  const w = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), h = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  return w <= 0 || h <= 0 ? 0 : w * h / (area(a) + area(b) - w * h);
}

function suppress(found) {
  const kept = [];
  for (const f of found) if (kept.every((k) => overlap(k.box, f.box) <= 0.45)) kept.push(f);
  return kept;
}

/* Least squares x' = a x - b y + tx, y' = b x + a y + ty from the template to the photo. */
function similarity(points) {
  let mx = 0, my = 0, nx = 0, ny = 0, xx = 0, a = 0, b = 0;
  for (let i = 0; i < 5; i++) { mx += TEMPLATE[2 * i] / 5; my += TEMPLATE[2 * i + 1] / 5; nx += points[2 * i] / 5; ny += points[2 * i + 1] / 5; }
  for (let i = 0; i < 5; i++) {
    const x = TEMPLATE[2 * i] - mx, y = TEMPLATE[2 * i + 1] - my, u = points[2 * i] - nx, v = points[2 * i + 1] - ny;
    xx += x * x + y * y; a += x * u + y * v; b += x * v - y * u;
  }
  a /= xx; b /= xx;
  return [a, -b, nx - a * mx + b * my, b, a, ny - b * mx - a * my];
}

function warp(px, w, h, m, out) {
  for (let v = 0; v < 112; v++) {
    for (let u = 0; u < 112; u++) {
      const x = m[0] * u + m[1] * v + m[2], y = m[3] * u + m[4] * v + m[5], x0 = Math.floor(x), y0 = Math.floor(y), fx = x - x0, fy = y - y0;
      for (let k = 0; k < 3; k++) {
        const at = (i, j) => (i < 0 || j < 0 || i >= w || j >= h ? 0 : px[3 * (j * w + i) + k]);
        const top = at(x0, y0) * (1 - fx) + at(x0 + 1, y0) * fx, low = at(x0, y0 + 1) * (1 - fx) + at(x0 + 1, y0 + 1) * fx;
        out[k * 12544 + v * 112 + u] = (top * (1 - fy) + low * fy - 127.5) / 127.5;
      }
    }
  }
}

async function timePipeline(request) {
  const p = request.pipeline, px = fs.readFileSync(p.pixels), detect = await open(p.detect), embed = await open(p.embed);
  const canvas = new Float32Array(3 * SIZE * SIZE), crop = new Float32Array(3 * 112 * 112);
  let faces = 0, embedding = [];
  const ms = await repeat(request.seconds, async () => {
    const scale = letterbox(px, p.width, p.height, canvas);
    const kept = suppress(decode(await detect.run({ [detect.inputNames[0]]: new ort.Tensor('float32', canvas, [1, 3, SIZE, SIZE]) })));
    faces = kept.length;
    if (faces === 0) throw new Error('no face found');
    const best = kept.reduce((a, b) => (b.score * area(b.box) > a.score * area(a.box) ? b : a));
    warp(px, p.width, p.height, similarity(best.points.map((c) => c / scale)), crop);
    const out = await embed.run({ [embed.inputNames[0]]: new ort.Tensor('float32', crop, [1, 3, 112, 112]) });
    const v = out[embed.outputNames[0]].data;
    const norm = Math.hypot(...v);
    embedding = Array.from(v, (c) => c / norm);
  });
  return { ms, faces, embedding };
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
