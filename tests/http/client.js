/* A client as an application writes it: node's fetch and FormData. Arguments: base URL, photo. Prints one JSON object. */
'use strict';
const fs = require('fs');

async function main() {
  const [base, file] = process.argv.slice(2), photo = fs.readFileSync(file), out = {};
  const form = new FormData();
  form.append('image', new Blob([photo], { type: 'image/jpeg' }), 'photo.jpg');
  form.append('threshold', '0');
  out.form = await (await fetch(`${base}/smile-check`, { method: 'POST', body: form })).json();
  out.raw = await (await fetch(`${base}/detect`, { method: 'POST', body: photo, headers: { 'Content-Type': 'image/jpeg' } })).json();
  const image = `data:image/jpeg;base64,${photo.toString('base64')}`;
  const json = () => fetch(`${base}/embed`, { method: 'POST', body: JSON.stringify({ image }), headers: { 'Content-Type': 'application/json' } });
  out.dimension = (await (await json()).json()).embedding.length;
  out.together = (await Promise.all(Array.from({ length: 6 }, json))).map((answer) => answer.status);
  const stop = new AbortController();
  const left = fetch(`${base}/embed`, { method: 'POST', body: photo, headers: { 'Content-Type': 'image/jpeg' }, signal: stop.signal }).catch((e) => e.name);
  setTimeout(() => stop.abort(), 5);
  await left;
  out.after = (await fetch(`${base}/livez`)).status;
  console.log(JSON.stringify(out));
}

main();
