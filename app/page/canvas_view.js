// Where a picture lies in its frame, and its tiles: a pyramid, each level half the one below.
// The files canvas*.js are joined into one module.
const TILE = 1024;
const MOST_TILES = 32;
const within = (value, low, high) => Math.min(high, Math.max(low, value));

class Pyramid {
  constructor(source, [width, height], changed) {
    Object.assign(this, { source, width, height, changed, tiles: new Map() });
    this.last = Math.max(0, Math.ceil(Math.log2(Math.max(width, height) / TILE)));
    this.whole = this.load('whole');
  }
  load(name) {
    const image = new Image();
    image.onload = this.changed;
    image.src = new URL(`picture/${this.source}/${name}`, document.baseURI);
    return image;
  }
  tile(name) {
    const image = this.tiles.get(name) ?? this.load(name);
    this.tiles.delete(name); // put last: the first is dropped
    this.tiles.set(name, image);
    if (this.tiles.size > MOST_TILES) this.tiles.delete(this.tiles.keys().next().value);
    return image;
  }
  get ready() { return this.whole.complete && this.whole.naturalWidth > 0; }
  draw(pen, view, ratio) { // `pen` draws in pixels of the picture
    if (!this.ready) return;
    pen.imageSmoothingEnabled = view.scale * ratio < 8;
    pen.imageSmoothingQuality = 'high';
    pen.drawImage(this.whole, 0, 0, this.width, this.height);
    const level = Math.max(0, Math.floor(Math.log2(1 / (view.scale * ratio))));
    if (level >= this.last) return;
    const step = TILE * 2 ** level;
    const [left, top] = view.at(0, 0), [right, bottom] = view.at(...view.frame);
    for (let row = Math.floor(Math.max(0, top) / step); row * step < Math.min(bottom, this.height); row++)
      for (let column = Math.floor(Math.max(0, left) / step); column * step < Math.min(right, this.width); column++) {
        const image = this.tile(`${level}/${column}/${row}`);
        const x = column * step, y = row * step;
        const size = [Math.min(step, this.width - x), Math.min(step, this.height - y)];
        if (image.complete && image.naturalWidth) pen.drawImage(image, x, y, ...size);
      }
  }
}

class View { // a picture's point p is at `offset + p * scale` in the frame, in CSS pixels
  constructor() { Object.assign(this, { size: [1, 1], frame: [1, 1], scale: 1, offset: [0, 0], whole: true }); }
  get fitted() { return Math.min(this.frame[0] / this.size[0], this.frame[1] / this.size[1]); }
  get actual() { return 1 / devicePixelRatio; }
  fit() { this.zoom(this.fitted); }
  zoom(scale, at = [this.frame[0] / 2, this.frame[1] / 2]) {
    const next = within(scale, Math.min(this.fitted, this.actual), Math.max(16 * this.fitted, 32));
    this.offset = this.offset.map((v, k) => at[k] - ((at[k] - v) * next) / this.scale);
    this.scale = next;
    this.whole = Math.abs(next / this.fitted - 1) < 1e-3;
    this.pan(0, 0);
  }
  pan(...by) { // no empty border where the picture fills the frame, else its middle
    this.offset = this.offset.map((v, k) => {
      const room = this.frame[k] - this.size[k] * this.scale;
      return room >= 0 ? room / 2 : within(v + by[k], room, 0);
    });
  }
  resize(frame) {
    const middle = this.at(...this.frame.map((v) => v / 2));
    this.frame = frame;
    if (this.whole) { this.fit(); return; }
    this.offset = middle.map((v, k) => frame[k] / 2 - v * this.scale);
    this.pan(0, 0);
  }
  at(x, y) { return [x, y].map((v, k) => (v - this.offset[k]) / this.scale); }
  share(x, y) { return this.at(x, y).map((v, k) => within(v / this.size[k], 0, 1)); }
  place([x, y]) { return [x, y].map((v, k) => this.offset[k] + v * this.size[k] * this.scale); }
}
