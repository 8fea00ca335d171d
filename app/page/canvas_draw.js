// What is drawn over the picture: mask, boxes, marks on the way, the brush, before and after.
const ADD = '#ff4081', SUBTRACT = '#409cff';

class Painter {
  constructor(canvas) { this.pen = canvas.getContext('2d'); }
  // one `begin` for each frame, then the rest in their order
  begin(view, ratio) {
    Object.assign(this, { view, ratio });
    this.onScreen();
    this.pen.clearRect(0, 0, ...view.frame);
    this.pen.lineCap = this.pen.lineJoin = 'round';
  }
  onScreen() { this.pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0); }
  onPicture() {
    const [x, y] = this.view.offset.map((v) => v * this.ratio), scale = this.view.scale * this.ratio;
    this.pen.setTransform(scale, 0, 0, scale, x, y);
  }
  picture(pyramid) { this.onPicture(); pyramid.draw(this.pen, this.view, this.ratio); }
  line(colour, width, path) { // dark under light: seen on every picture
    const thin = width / (this.pen.getTransform().a / this.ratio);
    for (const [style, more] of [['rgba(0,0,0,.55)', 2], [colour, 1]]) {
      this.pen.strokeStyle = style;
      this.pen.lineWidth = thin * more;
      this.pen.stroke(path);
    }
  }
  mask(path, colour, opacity) {
    const outside = new Path2D(path);
    outside.rect(0, 0, ...this.view.size);
    this.onPicture();
    this.pen.fillStyle = 'rgba(0,0,0,.28)';
    this.pen.fill(outside, 'evenodd');
    this.pen.globalAlpha = opacity;
    this.pen.fillStyle = colour;
    this.pen.fill(path, 'evenodd');
    this.pen.globalAlpha = 1;
    this.line('#fff', 1.5, path);
  }
  layer(path, colour) { // one of several things
    this.onPicture();
    this.pen.globalAlpha = 0.45;
    this.pen.fillStyle = colour;
    this.pen.fill(path, 'evenodd');
    this.pen.globalAlpha = 1;
    this.line('#fff', 1.5, path);
  }
  area(path) { // what a click would take
    this.onPicture();
    this.pen.fillStyle = 'rgba(255,255,255,.3)';
    this.pen.fill(path, 'evenodd');
    this.line('#fff', 1, path);
  }
  box([x0, y0, x1, y1], colour) {
    this.onScreen();
    const path = new Path2D();
    path.rect(x0, y0, x1 - x0, y1 - y0);
    this.line(colour, 2, path);
  }
  tag([x, y, w, h], words, colour) {
    this.onScreen();
    this.pen.fillStyle = colour;
    this.pen.fillRect(x, y, w, h);
    this.words(words, x + w / 2, y + h / 2);
  }
  words(words, x, y, align = 'center') {
    this.pen.font = '600 14px sans-serif';
    this.pen.textAlign = align;
    this.pen.textBaseline = 'middle';
    this.pen.lineWidth = 3;
    this.pen.strokeStyle = 'rgba(0,0,0,.7)';
    this.pen.strokeText(words, x, y);
    this.pen.fillStyle = '#fff';
    this.pen.fillText(words, x, y);
  }
  mark({ kind, how, points, radius }) { // one that is being made or on its way
    this.onScreen();
    const places = points.map((point) => this.view.place(point)), first = places[0];
    const colour = how === 'add' ? ADD : SUBTRACT;
    const path = new Path2D();
    if (kind === 'point') { path.arc(...first, 6, 0, 7); this.line(colour, 2, path); return; }
    if (kind === 'box') { this.box([...first, ...places[places.length - 1]], colour); return; }
    path.moveTo(...first);
    places.forEach((place) => path.lineTo(...place));
    if (kind === 'lasso') { path.closePath(); this.line(colour, 2, path); return; }
    if (places.length === 1) path.lineTo(first[0] + 0.1, first[1]);
    this.pen.globalAlpha = 0.55;
    this.pen.strokeStyle = colour;
    this.pen.lineWidth = 2 * this.reach(radius);
    this.pen.stroke(path);
    this.pen.globalAlpha = 1;
  }
  reach(radius) { return radius * Math.max(...this.view.size) * this.view.scale; }
  ring(place, radius) {
    this.onScreen();
    const path = new Path2D();
    path.arc(...place, this.reach(radius), 0, 7);
    this.line('#fff', 1.25, path);
  }
  cross([x, y]) {
    this.onScreen();
    const path = new Path2D();
    path.moveTo(x - 12, y); path.lineTo(x + 12, y);
    path.moveTo(x, y - 12); path.lineTo(x, y + 12);
    this.line('#fff', 2, path);
  }
  halves(before, split, name) { // the picture before, left of the line
    const [width, height] = this.view.frame, [x] = this.view.place([split, 0]);
    this.onScreen();
    this.pen.save();
    this.pen.beginPath();
    this.pen.rect(0, 0, x, height);
    this.pen.clip();
    this.picture(before);
    this.pen.restore();
    this.onScreen();
    const path = new Path2D();
    path.moveTo(x, 0); path.lineTo(x, height);
    this.line('#fff', 2, path);
    if (x > 60) this.words(name, 10, height - 16, 'left');
    if (x < width - 60) this.words('after', width - 10, height - 16, 'right');
  }
}
