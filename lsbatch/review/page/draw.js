// Drawing an outline on the map: corners by pointer, or by keyboard at the cross in the middle of the map.

const $ = id => document.getElementById(id);
const SOURCE = "drawing";
const HELP_NEW = "Click on the map to add corners, or move the map with the arrow keys and press Enter to add one at the cross.";
const HELP_OLD = "Click beside the outline to add a corner to its nearest side, or press Enter to add one at the cross.";
const HELP = " Drag a corner to move it. With a corner in focus: arrow keys move it, Delete removes it.";

export class Drawing {
  // `corners` may be empty; `save` gets them and returns whether they were saved; `ended` is called at the end.
  constructor(maplibre, map, corners, save, ended, note) {
    Object.assign(this, {maplibre, map, save, ended, corners: corners.map(one => [...one]), isEdit: corners.length > 0, markers: [], focus: document.activeElement});
    map.addSource(SOURCE, {type: "geojson", data: this.shape()});
    map.addLayer({id: "drawing-edge", source: SOURCE, type: "line", paint: {"line-color": "#000", "line-width": 5}});
    map.addLayer({id: "drawing", source: SOURCE, type: "line", paint: {"line-color": "#00b7ff", "line-width": 2.5}});
    this.clicked = event => this.add([event.lngLat.lng, event.lngLat.lat]);
    this.pressed = event => this.key(event);
    map.on("click", this.clicked);
    document.addEventListener("keydown", this.pressed, true);
    this.buttons = [["draw-save", () => this.finish()], ["draw-undo", () => this.remove(this.corners.length - 1)], ["draw-stop", () => this.end()]];
    for (const [id, does] of this.buttons) $(id).onclick = does;
    $("drawing").hidden = false;
    $("drawing-help").textContent = (this.isEdit ? HELP_OLD : HELP_NEW) + HELP + (note ? ` ${note}` : "") + " Your name and comment are saved with it.";
    $("frame").classList.add("drawing");
    map.doubleClickZoom.disable();
    map.getCanvas().focus();
    this.redraw();
  }

  shape() {
    const ring = this.corners.length > 2 ? [...this.corners, this.corners[0]] : this.corners;
    return ring.length > 1 ? {type: "Feature", properties: {}, geometry: {type: "LineString", coordinates: ring}} : {type: "FeatureCollection", features: []};
  }

  // Add a corner: at the end of a new outline, in the nearest side of an old one.
  add(place) {
    let where = this.corners.length;
    if (this.isEdit) {
      const at = this.corners.map(one => this.map.project(one)), here = this.map.project(place);
      const far = (p, a, b) => { const dx = b.x - a.x, dy = b.y - a.y, t = Math.max(0, Math.min(1, ((p.x - a.x) * dx + (p.y - a.y) * dy) / (dx * dx + dy * dy || 1))); return Math.hypot(p.x - a.x - t * dx, p.y - a.y - t * dy); };
      const distances = at.map((one, i) => far(here, one, at[(i + 1) % at.length]));
      where = distances.indexOf(Math.min(...distances)) + 1;
    }
    this.corners.splice(where, 0, place);
    this.redraw();
  }

  remove(i) {
    if (i < 0 || i >= this.corners.length) return;
    this.corners.splice(i, 1);
    this.redraw();
    if (this.markers.length) this.markers[Math.min(i, this.markers.length - 1)].getElement().focus();
  }

  redraw() {
    for (const marker of this.markers) marker.remove();
    this.markers = this.corners.map((corner, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "corner";
      button.setAttribute("aria-label", `Corner ${i + 1} of ${this.corners.length}`);
      button.addEventListener("click", event => event.stopPropagation());
      const marker = new this.maplibre.Marker({element: button, draggable: true}).setLngLat(corner).addTo(this.map);
      button.dataset.corner = i;
      marker.on("drag", () => { const {lng, lat} = marker.getLngLat(); this.corners[i] = [lng, lat]; this.map.getSource(SOURCE).setData(this.shape()); });
      return marker;
    });
    this.map.getSource(SOURCE).setData(this.shape());
    $("draw-save").disabled = this.corners.length < 3;
    $("draw-undo").disabled = this.corners.length === 0;
  }

  key(event) {
    if (event.target.matches("input, select")) return;
    const corner = event.target.dataset && event.target.dataset.corner;
    const move = {ArrowLeft: [-2, 0], ArrowRight: [2, 0], ArrowUp: [0, -2], ArrowDown: [0, 2]}[event.key];
    if (event.key === "Escape") this.end();
    else if (corner !== undefined && move) {
      const i = Number(corner), at = this.map.project(this.corners[i]), to = this.map.unproject([at.x + move[0], at.y + move[1]]);
      this.corners[i] = [to.lng, to.lat];
      this.markers[i].setLngLat(to);
      this.map.getSource(SOURCE).setData(this.shape());
    } else if (corner !== undefined && event.key === "Delete") this.remove(Number(corner));
    else if (event.key === "Enter" && event.target === this.map.getCanvas()) { const {lng, lat} = this.map.getCenter(); this.add([lng, lat]); this.map.getCanvas().focus(); }
    else if (event.key === "Backspace") this.remove(this.corners.length - 1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  async finish() {
    if (await this.save(this.corners)) this.end();
  }

  end() {
    for (const marker of this.markers) marker.remove();
    this.map.off("click", this.clicked);
    document.removeEventListener("keydown", this.pressed, true);
    for (const id of ["drawing", "drawing-edge"]) this.map.removeLayer(id);
    this.map.removeSource(SOURCE);
    this.map.doubleClickZoom.enable();
    $("drawing").hidden = true;
    $("frame").classList.remove("drawing");
    if (this.focus && this.focus.isConnected) this.focus.focus();
    this.ended();
  }
}
