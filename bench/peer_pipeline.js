/* The pipeline around the networks as an application writes it for ONNX Runtime: letterbox, YuNet's outputs, suppression, alignment to ArcFace's
 * template, warp. Pixels are interleaved RGB. */
'use strict';

const TEMPLATE = [38.2946, 51.6963, 73.5318, 51.5014, 56.0252, 71.7366, 41.5493, 92.3655, 70.7299, 92.2041];
const SIZE = 640;

/* Bilinear, planar BGR, black below and to the right. */
function letterbox(px, w, h, out) {
  const scale = Math.min(SIZE / w, SIZE / h), cw = Math.round(w * scale), ch = Math.round(h * scale), plane = SIZE * SIZE;
  const left = new Int32Array(cw), right = new Int32Array(cw), part = new Float32Array(cw);
  for (let u = 0; u < cw; u++) {
    const x = Math.min(Math.max((u + 0.5) / scale - 0.5, 0), w - 1), x0 = x | 0;
    left[u] = 3 * x0; right[u] = 3 * Math.min(x0 + 1, w - 1); part[u] = x - x0;
  }
  out.fill(0);
  for (let v = 0; v < ch; v++) {
    const y = Math.min(Math.max((v + 0.5) / scale - 0.5, 0), h - 1), y0 = y | 0, fy = y - y0, r0 = 3 * y0 * w, r1 = 3 * Math.min(y0 + 1, h - 1) * w;
    for (let u = 0, at = v * SIZE; u < cw; u++, at++) {
      const fx = part[u], a = r0 + left[u], b = r0 + right[u], c = r1 + left[u], d = r1 + right[u];
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

/* The best face's embedding, of length 1, of a photo; null when there is none. `canvas` and `crop` are this caller's work memory. */
async function embed(ort, sessions, photo, canvas, crop) {
  const { detect, embed: net } = sessions, scale = letterbox(photo.px, photo.width, photo.height, canvas);
  const kept = suppress(decode(await detect.run({ [detect.inputNames[0]]: new ort.Tensor('float32', canvas, [1, 3, SIZE, SIZE]) })));
  if (kept.length === 0) return { faces: 0, embedding: null };
  const best = kept.reduce((a, b) => (b.score * area(b.box) > a.score * area(a.box) ? b : a));
  warp(photo.px, photo.width, photo.height, similarity(best.points.map((c) => c / scale)), crop);
  const out = await net.run({ [net.inputNames[0]]: new ort.Tensor('float32', crop, [1, 3, 112, 112]) });
  const v = out[net.outputNames[0]].data, norm = Math.hypot(...v);
  return { faces: kept.length, embedding: Array.from(v, (c) => c / norm) };
}

const memory = () => ({ canvas: new Float32Array(3 * SIZE * SIZE), crop: new Float32Array(3 * 112 * 112) });

module.exports = { embed, memory };
