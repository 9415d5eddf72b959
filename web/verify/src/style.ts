// The element's look. One constructable style sheet for all instances: no <style>, so that a page's policy needs no 'unsafe-inline'. Colours are at least
// 4.5:1 on what they stand on (marks and borders of controls 3:1), in both themes; a site may set the custom properties --mien-*.

const LIGHT = `
  --paper: var(--mien-paper, #ffffff); --ink: var(--mien-ink, #16202c); --soft: var(--mien-soft, #4a5767); --line: #7b8797; --well: #edf1f5;
  --accent: var(--mien-accent, #0b5cad); --on-accent: var(--mien-on-accent, #ffffff); --good: #11713d; --bad: #b3261e; color-scheme: light;`
const DARK = `
  --paper: var(--mien-paper, #141b24); --ink: var(--mien-ink, #e9eef4); --soft: var(--mien-soft, #aab7c5); --line: #76879a; --well: #222d3a;
  --accent: var(--mien-accent, #7dbaff); --on-accent: var(--mien-on-accent, #08182a); --good: #62d69e; --bad: #ff9f96; color-scheme: dark;`

const CSS = `
:host { ${LIGHT} display: block; container-type: inline-size; color: var(--ink); font: 400 1rem/1.5 var(--mien-font, system-ui, sans-serif); }
:host([hidden]) { display: none; }
:host([theme=dark]) { ${DARK} }
@media (prefers-color-scheme: dark) { :host(:not([theme=light], [theme=dark])) { ${DARK} } }
*, ::before, ::after { box-sizing: border-box; }
[hidden] { display: none !important; }

.card { display: grid; gap: 1rem; padding: 1rem; background: var(--paper); border: 1px solid var(--line); border-radius: var(--mien-radius, .75rem); }
@container (min-width: 46rem) {
  .card { padding: 1.5rem; gap: 1.5rem; }
  .card.filming { grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); align-items: center; }
}
h2, h3, p, ul, ol, dl, pre { margin: 0; padding: 0; }
h2 { font-size: 1.4rem; line-height: 1.25; text-wrap: balance; overflow-wrap: anywhere; }
h3 { font-size: 1rem; }
h2:focus { outline: none; }
.panel, .view { display: grid; gap: 1rem; align-content: start; min-width: 0; }
.soft { color: var(--soft); }
.small { font-size: .875rem; }
.hints { display: grid; gap: .35rem; padding-left: 1.25rem; }

.actions { display: flex; flex-wrap: wrap; gap: .75rem; }
button { min-height: 2.75rem; padding: .5rem 1.1rem; font: inherit; font-weight: 600; border-radius: .5rem; border: 1px solid var(--line);
  background: transparent; color: inherit; cursor: pointer; }
button.main { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
button:hover { text-decoration: underline; }
button:focus-visible, summary:focus-visible, pre:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }

.stage { position: relative; overflow: hidden; margin: 0 auto; width: 100%; aspect-ratio: 4 / 3; max-height: 70vh; border-radius: .5rem; background: #10151b; }
video { display: block; width: 100%; height: 100%; object-fit: cover; transform: scaleX(-1); }
.guide { position: absolute; inset: 0; width: 100%; height: 100%; }
.guide .shade { fill: #10151b; fill-opacity: .45; fill-rule: evenodd; }
.guide .oval { fill: none; stroke: #ffffff; stroke-width: 1.2; stroke-dasharray: 4 3; }
.stage.seen .oval { stroke: #62d69e; stroke-dasharray: none; stroke-width: 1.8; }

.icon { width: 3rem; height: 3rem; flex: none; fill: none; stroke: currentColor; stroke-width: 3.5; stroke-linecap: round; stroke-linejoin: round; }
.task { display: flex; align-items: center; gap: .9rem; }
.task h2 { flex: 1; min-width: 0; }
.result { display: flex; align-items: center; gap: .75rem; }
.result .icon { width: 2.5rem; height: 2.5rem; }
.good { color: var(--good); }
.bad { color: var(--bad); }
.ring { position: relative; width: 3.5rem; height: 3.5rem; flex: none; display: grid; place-items: center; font-size: .875rem; font-weight: 600;
  font-variant-numeric: tabular-nums; }
.ring svg { position: absolute; inset: 0; transform: rotate(-90deg); fill: none; stroke-width: 4; }
.ring .track { stroke: var(--well); }
.ring .rest { stroke: var(--accent); transition: stroke-dashoffset .25s linear; }
.steps { display: flex; gap: .4rem; list-style: none; }
.steps li { display: grid; place-items: center; width: 1.75rem; height: 1.75rem; border: 2px solid var(--line); border-radius: 50%; font-size: .8rem;
  font-weight: 600; }
.steps li[aria-current] { border-color: var(--accent); background: var(--accent); color: var(--on-accent); }
.steps .icon { width: .95rem; height: .95rem; stroke-width: 7; }
.steps .done { border-color: var(--good); color: var(--good); }
.steps .missed { border-color: var(--bad); color: var(--bad); }
.hint { min-height: 3rem; padding: .6rem .8rem; border-radius: .5rem; background: var(--well); }

.scores { display: grid; gap: .5rem; }
.score { display: grid; grid-template-columns: 7rem minmax(0, 1fr) 2.5rem; gap: .6rem; align-items: center; font-size: .875rem; }
.score b { text-align: right; font-variant-numeric: tabular-nums; }
.bar { position: relative; height: .75rem; border-radius: 1rem; background: var(--well); border: 1px solid var(--line); }
.bar i { position: absolute; inset: 0 auto 0 0; width: 0; border-radius: 1rem; background: var(--accent); transition: width .2s; }
.bar.enough i { background: var(--good); }
.bar::after { content: ""; position: absolute; top: -4px; bottom: -4px; left: var(--mark, 70%); width: 2px; background: var(--ink); }

details { border: 1px solid var(--line); border-radius: .5rem; padding: .25rem .8rem; }
summary { padding: .5rem 0; font-weight: 600; cursor: pointer; }
pre { margin: .25rem 0 .75rem; padding: .7rem; border-radius: .5rem; background: var(--well); font: .8rem/1.5 ui-monospace, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.spinner { width: 2rem; height: 2rem; border: 4px solid var(--well); border-top-color: var(--accent); border-radius: 50%; animation: turn 1s linear infinite; }
@keyframes turn { to { transform: rotate(1turn); } }
.spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: reduce) { *, ::before, ::after { animation: none !important; transition: none !important; } }
@media (forced-colors: active) { .bar i, .bar.enough i, .bar::after { background: CanvasText; } .steps li[aria-current] { border-width: 4px; } }
`

let sheet: CSSStyleSheet | null = null

export function style(): CSSStyleSheet {
  if (sheet === null) {
    sheet = new CSSStyleSheet()
    sheet.replaceSync(CSS)
  }
  return sheet
}
