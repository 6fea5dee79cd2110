// Where the page gets its data: here from the server of `lsbatch view`. In a published folder this file is
// `publication/data.js`, which offers the same from files.
const HERE = location.href.replace(/[^/]*$/, "");

async function get(path) {
  const answer = await fetch(path).catch(() => { throw new Error("the server does not answer."); });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

export const survey = () => get("survey");
export const landslides = () => get("landslides");
export const record = i => get(`records/${i}`);
export const pictures = i => get(`pictures/${i}`);
export const series = i => get(`series/${i}`);
// Addresses of tiles and outlines, for the map.
export const areas = `${HERE}areas`;
export const outlines = edition => `${HERE}outlines/${edition}/{z}/{x}/{y}`;
export const image = name => `${HERE}images/${name}/{z}/{x}/{y}`;
export const prepare = () => { /* MapLibre reads these addresses itself */ };
