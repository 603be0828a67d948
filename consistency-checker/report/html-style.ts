/** How the drift report looks: at a desk, on a phone, on paper; light or dark as the reader's system is. */
export const STYLE = `
:root { --fore: #1d2430; --back: #fbfbf9; --card: #ffffff; --line: #d9dce1; --quiet: #5f6876; --good: #14713d; --warn: #8a5a00; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --fore: #e4e7ec; --back: #14171c; --card: #1c2027; --line: #363c47; --quiet: #98a1b0; --good: #5cc98b; --warn: #e0b04c; --bad: #ff8a80; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1.25rem 1rem 3rem; background: var(--back); color: var(--fore); font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; line-height: 1.25; }
h2 { margin: 2rem 0 .25rem; font-size: 1.15rem; }
h3 { margin: 1.25rem 0 .25rem; font-size: 1rem; }
p { margin: .25rem 0 .75rem; }
code, pre { font: .875em/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code, .subject { overflow-wrap: anywhere; }
pre { margin: .5rem 0; padding: .6rem .75rem; overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; }
.quiet, .count { color: var(--quiet); font-weight: normal; }
.good { color: var(--good); }
.warn { color: var(--warn); }
.bad { color: var(--bad); }
.pairs { list-style: none; margin: .25rem 0; padding: 0; }
.pairs li { padding: .3rem .75rem; border-left: 4px solid; margin: .35rem 0; overflow-wrap: anywhere; }
.pairs b { color: var(--fore); margin-right: .5rem; white-space: nowrap; }
details { margin: .5rem 0; padding: .6rem .85rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
details[open] { padding-bottom: 1rem; }
summary { cursor: pointer; }
.subject { font-weight: 600; margin-right: .5rem; }
.tags { display: inline-flex; flex-wrap: wrap; gap: 0 .8rem; align-items: baseline; font-size: .9rem; }
.status { font-weight: 600; }
dl { margin: .6rem 0; }
dl div { display: grid; grid-template-columns: 6.5rem 1fr; gap: .5rem; padding: .1rem 0; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; font-size: .9rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; overflow-wrap: anywhere; }
tbody th { color: var(--quiet); font-weight: normal; white-space: nowrap; }
.right { text-align: right; white-space: nowrap; }
time { white-space: nowrap; }
.diff { display: block; }
@media (max-width: 34rem) {
  dl div { grid-template-columns: 1fr; gap: 0; }
  .wide td { min-width: 8rem; }
}
@media print {
  :root { --fore: #000; --back: #fff; --card: #fff; --line: #999; --quiet: #444; --good: #0a4d28; --warn: #5c3c00; --bad: #8a1c16; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  details { break-inside: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
  .wide { overflow: visible; }
}
`;
