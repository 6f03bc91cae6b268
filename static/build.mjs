// Builds static/dist from static/js, static/css, the fonts and the icons the pages use. `--watch` rebuilds on change.

import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import subset from "subset-font";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const dist = path.join(root, "static/dist");
const modules = path.join(root, "node_modules");
const watching = process.argv.includes("--watch");

// What the Latin files of Fontsource hold, and of it what the pages switch on: half the weight of the whole file.
const LATIN = [[0x20, 0x7e], [0xa0, 0xff], [0x2000, 0x206f], "ıŒœʻʼˆ˚˜\u0304\u0308\u0329€™↑↓−∕\uFEFF\uFFFD"];
const WEIGHTS = { wght: { min: 400, max: 700, default: 400 } };
const FONTS = {
  "inter-latin.woff2": ["@fontsource-variable/inter/files/inter-latin-wght-normal.woff2", ["kern", "ccmp", "mark", "mkmk", "calt", "tnum", "cv11", "ss03"]],
  "jetbrains-mono-latin.woff2": ["@fontsource-variable/jetbrains-mono/files/jetbrains-mono-latin-wght-normal.woff2", ["ccmp", "mark", "mkmk"]],
};

const shared = { absWorkingDir: root, bundle: true, minify: !watching, logLevel: "warning", legalComments: "none" };
const bundles = [
  {
    ...shared,
    entryPoints: ["static/js/app.js"],
    outdir: dist,
    format: "esm",
    target: "es2022",
    splitting: true, // the editor arrives only on its own page
    chunkNames: "chunks/[name]-[hash]",
    metafile: true,
  },
  {
    ...shared,
    entryPoints: ["static/css/app.css"],
    outdir: dist,
    target: ["chrome123", "firefox121", "safari17.5"], // light-dark() and nesting stay as they are written
    external: ["*.woff2", "*.svg", "*.png"],
  },
];

async function files(folder, ending) {
  const found = await readdir(folder, { recursive: true }).catch(() => []);
  return found.filter((name) => name.endsWith(ending)).map((name) => path.join(folder, name));
}

// Where a page names an icon: {% icon "play" %}, icon="play", href="#play", and any word of words.py that is an icon.
// Drawings of our own, which Lucide lacks, stand in static/icons and win over Lucide's of the same name.
const MENTIONS = [/\bicon[ =(]\s*["']([a-z0-9-]+)["']/g, /["'`]#([a-z0-9-]+)["'`]/g];
const WORDS = /["']([a-z0-9-]+)["']/g;

async function drawings() {
  const svgs = [...(await files(path.join(modules, "lucide-static/icons"), ".svg")), ...(await files(path.join(root, "static/icons"), ".svg"))];
  return new Map(svgs.map((file) => [path.parse(file).name, file]));
}

async function usedIcons(known) {
  const apps = ["accounts", "pipelines", "runs", "approvals", "notices", "evals", "orchestrator_site"].map((app) => path.join(root, app));
  const python = (await Promise.all(apps.map((app) => files(app, ".py")))).flat();
  const pages = [...(await files(path.join(root, "templates"), ".html")), ...(await files(path.join(root, "static/js"), ".js"))];
  const used = new Set();
  for (const file of [...pages, ...python]) {
    const text = await readFile(file, "utf8");
    const patterns = path.basename(file) === "words.py" ? [WORDS] : MENTIONS;
    for (const [, name] of patterns.flatMap((pattern) => [...text.matchAll(pattern)])) {
      if (known.has(name)) used.add(name);
    }
  }
  return [...used].sort();
}

async function buildSprite() {
  const symbols = [];
  const known = await drawings();
  for (const name of await usedIcons(known)) {
    const svg = await readFile(known.get(name), "utf8");
    const drawing = svg.slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.lastIndexOf("</svg>"));
    symbols.push(`<symbol id="${name}" viewBox="0 0 24 24">${drawing.replace(/\s*\n\s*/g, "")}</symbol>`);
  }
  await writeFile(path.join(dist, "icons.svg"), `<svg xmlns="http://www.w3.org/2000/svg" hidden>${symbols.join("")}</svg>\n`);
}

function range(first, last) {
  return Array.from({ length: last - first + 1 }, (_, index) => String.fromCodePoint(first + index)).join("");
}

async function buildFonts() {
  await mkdir(path.join(dist, "fonts"), { recursive: true });
  const letters = LATIN.map((part) => (typeof part === "string" ? part : range(...part))).join("");
  for (const [name, [source, keepFeatures]] of Object.entries(FONTS)) {
    const whole = await readFile(path.join(modules, source));
    const lean = await subset(whole, letters, { targetFormat: "woff2", keepFeatures, variationAxes: WEIGHTS });
    await writeFile(path.join(dist, "fonts", name), lean);
  }
}

// What a page that needs a part of the script can ask for with the page: {"app": […], "editor": […], "run": […]}, each
// the chunks that this part stands on, itself first where it is one. Else the browser learns of each from the one before.
async function writeChunks({ outputs }) {
  const needed = (name, found = new Set()) => {
    for (const { path: next, kind } of [{ path: name }, ...outputs[name].imports]) {
      if (kind !== "dynamic-import" && !found.has(next)) found.add(next), needed(next, found);
    }
    return found;
  };
  const parts = Object.entries(outputs).filter(([, { entryPoint }]) => entryPoint);
  const listed = parts.map(([name, { entryPoint }]) => {
    const part = path.basename(entryPoint) === "index.js" ? path.basename(path.dirname(entryPoint)) : path.parse(entryPoint).name;
    return [part, [...needed(name)].map((file) => path.relative("static", file))];
  });
  await writeFile(path.join(dist, "chunks.json"), JSON.stringify(Object.fromEntries(listed)));
}

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });
await Promise.all([buildFonts(), buildSprite()]);
if (watching) {
  for (const bundle of bundles) await (await esbuild.context(bundle)).watch();
} else {
  const results = await Promise.allSettled(bundles.map((bundle) => esbuild.build(bundle)));
  if (results.some((result) => result.status === "rejected")) process.exitCode = 1; // esbuild has said why
  else await writeChunks(results[0].value.metafile);
}
