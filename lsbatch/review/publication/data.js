// Where the page of a published folder gets its data: files beside it. It offers what `page/data.js` offers.
const HERE = location.href.replace(/[^/]*$/, "");
// Changes with the content, so that no old file is mixed with new ones.
const EDITION = document.body.dataset.edition;
const place = path => `${HERE}${path}?v=${EDITION}`;
// Bytes of an entry of an index: where a line begins, and its length.
const ENTRY = 16;

async function get(path, headers = {}) {
  const answer = await fetch(place(path), {headers}).catch(() => { throw new Error("the web server does not answer."); });
  if (!answer.ok) throw new Error(`${path}: the web server answers ${answer.status}.`);
  return answer;
}

async function bytes(path, start, length) {
  const answer = await get(path, {Range: `bytes=${start}-${start + length - 1}`});
  if (answer.status === 206) return answer.arrayBuffer();
  if (answer.body) answer.body.cancel();
  throw new Error("this web server does not answer ranges of files (HTTP 206). Use one that does; the documentation of lsbatch publish names some.");
}

// Line i of a file; null if it is empty.
async function line(name, i) {
  const entry = new DataView(await bytes(`data/${name}.index`, ENTRY * i, ENTRY));
  const [start, length] = [0, 8].map(at => Number(entry.getBigUint64(at, true)));
  return length ? JSON.parse(new TextDecoder().decode(await bytes(`data/${name}.jsonl`, start, length))) : null;
}

// Without ranges neither map nor records can be read: told at once, instead of the list. Of a file that is only read by
// ranges: where a server compresses whole files, the browser would complete the cached byte with compressed ones.
const ranges = bytes("tiles/landslides.pmtiles", 0, 1);
const about = get("data/survey.json").then(answer => answer.json()).then(found => ranges.then(() => found));
about.catch(() => { /* reported by the page */ });

export const survey = () => about;
export const landslides = async () => (await get("data/landslides.json")).json();
export async function record(i) {
  const [{fields}, values] = await Promise.all([about, line("records", i)]);
  return {fields: fields.map((field, n) => ({...field, value: values[n]})).filter(({value}) => value !== null && value !== "")};
}
export const pictures = async i => (await line("pictures", i)) || {pictures: []};
export const series = async () => [];
// Addresses of tiles and outlines, for the map.
export const areas = place("data/areas.json");
const archive = name => `pmtiles://${place(`tiles/${name}.pmtiles`)}/{z}/{x}/{y}`;
export const outlines = () => archive("landslides");
export const image = archive;
// A tile that the archive does not have is a transparent picture: without data MapLibre would take it for loading for ever.
const tiles = new window.pmtiles.Protocol();
const tile = async (request, abort) => {
  const answer = await tiles.tile(request, abort);
  return request.type === "image" && !answer.data?.byteLength ? {data: await createImageBitmap(new ImageData(1, 1))} : answer;
};
export const prepare = maplibre => maplibre.addProtocol("pmtiles", tile);
