// The picture in its frame: to mark, to watch while it is painted, to compare. Coordinates leave as
// shares of width and height.
class Surface {
  constructor(root) {
    const one = (name) => root.querySelector(name);
    Object.assign(this, { root, one, canvas: one('canvas'), view: new View(), painter: new Painter(one('canvas')) });
    Object.assign(this, { tool: 'point', way: 'add', waiting: [], last: 0, fingers: new Map(), split: 0.5, cursor: [0.5, 0.5] });
    Object.assign(this, { data: {}, hidden: false, peeking: false, gesture: null, hover: null, keyboard: false });
    this.size = one('[data-size] input');
    this.style = { colour: '#ff4081', opacity: 0.38, ...JSON.parse(localStorage.getItem('groundbrush-mask') ?? '{}') };
    this.draw = this.draw.bind(this);
    this.key = this.key.bind(this);
    this.released = () => { this.peeking = this.space = false; this.show(); };
    this.releasedKey = (event) => {
      if (event.key === 'Tab' || event.key === ' ') {
        if (this.space || this.peeking) event.preventDefault();
        this.released();
      }
    };
    this.listen();
    this.listKeys();
    new ResizeObserver(([entry]) => this.resize(entry.contentRect)).observe(one('.frame'));
  }
  listen() {
    const { canvas, one } = this;
    canvas.onpointerdown = (event) => this.down(event);
    canvas.onpointermove = (event) => this.move(event);
    canvas.onpointerup = (event) => this.up(event);
    canvas.onpointercancel = (event) => { this.fingers.delete(event.pointerId); this.drop(); };
    canvas.onpointerenter = () => { this.over = true; };
    canvas.onpointerleave = () => { this.over = false; this.hover = null; this.forget(); this.draw(); };
    canvas.oncontextmenu = (event) => event.preventDefault();
    canvas.onblur = this.draw;
    canvas.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    canvas.addEventListener('keydown', (event) => this.arrow(event));
    this.root.querySelectorAll('[data-do]').forEach((button) => {
      if (button.dataset.do === 'peek') { // seen while it is held
        button.onpointerdown = () => { this.peeking = true; this.show(); };
        button.onpointerup = button.onpointerleave = this.released;
        button.onkeydown = (event) => { if (event.key === ' ' || event.key === 'Enter') { this.peeking = true; this.show(); } };
        button.onkeyup = this.released;
      } else button.onclick = () => this.do(button.dataset.do);
    });
    this.size.oninput = this.draw;
    one('[data-split]').oninput = (event) => { this.split = event.target.value / 100; this.draw(); };
    for (const name of ['colour', 'opacity']) {
      one(`[data-${name}]`).value = this.style[name];
      one(`[data-${name}]`).oninput = (event) => {
        this.style[name] = name === 'opacity' ? Number(event.target.value) : event.target.value;
        localStorage.setItem('groundbrush-mask', JSON.stringify(this.style));
        this.hidden = false;
        this.show();
      };
    }
  }
  listKeys() {
    const rows = new Map(); // one for each thing that is done
    for (const [key, , words] of KEYS) rows.set(words, [...(rows.get(words) ?? []), key.replace(/[a-z]$/, (v) => v.toUpperCase())]);
    rows.set('Drop what is being drawn', ['Esc']);
    const made = (name, ...content) => { const element = document.createElement(name); element.append(...content); return element; };
    const line = (words, keys) => made('div', made('dt', words), made('dd', ...keys.flatMap((key) => [made('kbd', key), ' '])));
    this.one('dl').append(...[...rows, ...MORE_KEYS].map(([words, keys]) => line(words, keys)));
  }

  // ---------------------------------------------------------------- what the page sends
  take(data, send) {
    const before = this.data;
    this.data = data;
    this.trigger = send;
    // marks made while the page is busy go again with the next one, until it says that they are done
    this.waiting = before.turn === data.turn ? this.waiting.filter((mark) => mark.id > data.done) : [];
    if (data.turn !== before.turn || data.mode !== before.mode) this.gesture = null;
    this.view.size = data.size;
    if (data.opened !== before.opened || String(data.size) !== String(before.size)) {
      Object.assign(this, { layers: {}, coming: {} });
      this.view.fit();
      this.root.scrollIntoView({ block: 'nearest' }); // another picture: its top is shown
    }
    this.layer('source', data.size);
    this.layer('before', data.size);
    if (data.mode === 'compare' && before.mode !== 'compare') this.splitAt(data.split); // what is new is seen
    this.outline = pathOf(data.outlines);
    this.things = (data.layers ?? []).map(({ outlines, colour }) => [pathOf(outlines), colour]).filter(([path]) => path);
    this.canvas.setAttribute('aria-label', data.label);
    document.addEventListener('keydown', this.key, true);
    document.addEventListener('keyup', this.releasedKey, true);
    window.addEventListener('blur', this.released);
    this.watch();
    this.show();
  }
  leave() {
    clearTimeout(this.timer);
    document.removeEventListener('keydown', this.key, true);
    document.removeEventListener('keyup', this.releasedKey, true);
    window.removeEventListener('blur', this.released);
  }
  layer(name, size) { // the last one is shown until the next is here
    const source = this.data[name], { layers, coming } = this;
    if (!source) delete layers[name];
    else if (source !== layers[name]?.source && source !== coming[name]?.source) {
      const pyramid = new Pyramid(source, size, () => {
        if (this.data[name] === source) layers[name] = pyramid;
        this.draw();
      });
      coming[name] = pyramid;
      layers[name] ??= pyramid;
    } else if (coming[name]?.ready && coming[name].source === source) layers[name] = coming[name];
  }
  watch() { // the picture so far, while it is painted
    clearTimeout(this.timer);
    if (!this.data.preview) { this.preview = null; return; }
    const image = new Image();
    const again = () => { this.timer = setTimeout(() => this.watch(), 500); };
    image.onload = () => { this.preview = image; this.draw(); again(); };
    image.onerror = again;
    image.src = new URL(`picture/${this.data.preview}/whole?${Date.now()}`, document.baseURI);
  }
  resize({ width, height }) {
    const ratio = devicePixelRatio;
    Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    this.view.resize([width, height]);
    this.paint(); // at once: a resized canvas is empty
  }

  // ---------------------------------------------------------------- drawing
  draw() { this.frame ??= requestAnimationFrame(() => this.paint()); }
  paint() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    const { data, painter, layers, view } = this;
    if (!data.size || !layers.source) return;
    painter.begin(view, this.canvas.width / view.frame[0]);
    painter.picture(this.peeking && layers.before ? layers.before : layers.source);
    if (data.mode === 'compare' && layers.before && !this.peeking) painter.halves(layers.before, this.split, data.name);
    if (data.mode === 'watch' && this.preview && !this.peeking) {
      painter.onPicture();
      painter.pen.drawImage(this.preview, 0, 0, ...view.size);
    }
    if (data.mode === 'watch' && !this.peeking) for (const thing of this.things) painter.layer(...thing);
    if (data.mode === 'mark' && !this.peeking) this.paintMarks();
    this.root.dataset.view = JSON.stringify([...view.offset, ...view.size.map((v) => v * view.scale)]);
    if (layers.source.ready && layers.source.source === data.source) this.root.dataset.ready = data.source;
    this.one('.zoom').textContent = `${Math.round((100 * view.scale) / view.actual)}%`;
  }
  paintMarks() {
    const { painter, gesture, view } = this;
    if (!this.hidden) {
      if (this.outline) painter.mask(this.outline, this.style.colour, this.style.opacity);
      for (const candidate of this.data.boxes) painter.box(this.onScreen(candidate.box), candidate.first ? ADD : SUBTRACT);
      for (const [candidate, place] of this.tags()) painter.tag(place, String(candidate.number), candidate.first ? '#c2185b' : '#1565c0');
    }
    if (this.offer && this.tool === 'point') painter.area(this.offer);
    for (const mark of this.waiting) if (mark.points) painter.mark(mark);
    if (gesture?.path) painter.mark({ kind: this.kind, how: gesture.how, points: gesture.path, radius: Number(this.size.value) });
    if (RADIUS[this.tool] && this.hover) painter.ring(this.hover, this.size.value);
    if (this.keyboard && this.root.getRootNode().activeElement === this.canvas) {
      const place = view.place(this.cursor);
      painter.cross(place);
      if (RADIUS[this.tool]) painter.ring(place, this.size.value);
    }
  }
  get kind() { return RADIUS[this.tool] ? 'stroke' : this.tool; }
  onScreen([x0, y0, x1, y1]) {
    const at = (x, y) => this.view.offset.map((v, k) => v + [x, y][k] * this.view.scale);
    return [...at(x0, y0), ...at(x1, y1)];
  }
  tags() { // numbers in the boxes' corners, to choose by
    if (!this.data.numbered) return [];
    const [width, height] = this.view.frame, made = [];
    for (const candidate of this.data.boxes) {
      const [left, top] = this.onScreen(candidate.box), y = within(top, 0, height - 26);
      let x = within(left, 0, width - 26);
      const beside = x > width / 2 ? -28 : 28; // boxes may share a corner
      while (made.some(([, [a, b]]) => Math.abs(a - x) < 28 && Math.abs(b - y) < 28)) x += beside;
      made.push([candidate, [x, y, 26, 26]]);
    }
    return made;
  }
  show() {
    const { data, root } = this, drawing = RADIUS[this.tool], how = this.howNow();
    root.querySelectorAll('[data-in]').forEach((part) => { part.hidden = part.dataset.in !== data.mode; });
    const press = (name, on) => this.one(`[data-do=${name}]`).setAttribute('aria-pressed', String(on));
    for (const name of ['point', 'box', 'lasso', 'brush', 'erase']) press(name, name === this.tool);
    press('how', this.way !== 'add');
    press('hide', this.hidden);
    press('peek', this.peeking);
    this.one('[data-do=how]').textContent = this.way === 'add' ? 'Add' : 'Subtract';
    this.one('[data-do=how]').hidden = drawing;
    this.one('[data-size]').hidden = !drawing;
    this.one('[data-snap]').hidden = this.tool !== 'box';
    this.one('[data-do=undo]').disabled = !data.undo;
    this.one('[data-do=redo]').disabled = !data.redo;
    this.one('[data-do=clear]').disabled = !this.outline;
    this.one('[data-do=peek]').disabled = !this.layers.before && !this.outline && !this.things.length;
    const free = data.mode === 'mark' && this.tool === 'point' && this.view.whole;
    this.canvas.style.touchAction = free ? 'pan-y' : 'none';
    this.canvas.style.cursor = this.space || data.mode === 'watch' ? 'grab' : data.mode === 'compare' ? 'ew-resize' : 'crosshair';
    const said = this.note ?? (this.waiting.length ? 'marking …' : this.gesture?.keyed ? 'Arrows draw, Enter ends, Escape drops it.' : SAYS[this.tool][how]);
    this.one('.say').textContent = data.mode === 'mark' ? said : this.note ?? data.say;
    this.draw();
  }

  // ---------------------------------------------------------------- what buttons and keys do
  do(name) {
    if (MARKING.has(name) && this.data.mode !== 'mark') return;
    this.note = null;
    if (name in SAYS) { this.drop(); this.tool = name; } else this[name]();
    this.show();
  }
  how() { this.way = other(this.way); }
  smaller() { this.size.stepDown(2); }
  larger() { this.size.stepUp(2); }
  undo() { this.send({ kind: 'undo' }); }
  redo() { this.send({ kind: 'redo' }); }
  clear() { this.send({ kind: 'clear' }); }
  invert() { this.send({ kind: 'invert' }); }
  hide() { this.hidden = !this.hidden; }
  fit() { this.view.fit(); }
  actual() { this.view.zoom(this.view.actual, this.middle()); }
  in() { this.view.zoom(this.view.scale * 1.5, this.middle()); }
  out() { this.view.zoom(this.view.scale / 1.5, this.middle()); }
  copy() { // a promise: it counts as pressed while the picture is on its way
    const address = new URL(`picture/${this.data.source}/png`, document.baseURI);
    const picture = fetch(address).then((answer) => answer.blob());
    const copied = navigator.clipboard?.write?.([new ClipboardItem({ 'image/png': picture })]) ?? Promise.reject();
    copied.then(() => 'Copied.', () => 'The browser does not let this page copy; download instead.')
      .then((words) => { this.note = words; this.show(); });
  }
  help() { this.one('dialog').showModal(); }
  drop() { this.gesture = null; this.show(); }
  splitAt(share) { this.split = share; this.one('[data-split]').value = 100 * share; }
  middle() { return this.keyboard ? this.view.place(this.cursor) : this.hover ?? undefined; }
  howNow(button = 0) {
    const how = RADIUS[this.tool] ? (this.tool === 'erase' ? 'subtract' : 'add') : this.way;
    return button === 2 ? other(how) : how;
  }
  send(mark) {
    this.forget();
    this.last = Math.max(Date.now(), this.last + 1);
    this.waiting.push({ ...mark, id: this.last });
    this.trigger('mark', { marks: this.waiting });
    this.show();
  }
  finish() {
    const { path, how } = this.gesture, last = path[path.length - 1];
    this.gesture = null;
    const every = Math.ceil(path.length / 5000), points = path.filter((_, k) => k % every === 0);
    if (this.tool === 'point') this.send({ kind: 'point', how, points: path.slice(0, 1) });
    else if (this.tool === 'box') {
      const wide = Math.abs(path[0][0] - last[0]) > 0.003 && Math.abs(path[0][1] - last[1]) > 0.003;
      if (wide) this.send({ kind: 'box', how, points: [path[0], last], snap: this.one('[data-snap] input').checked });
    } else if (this.tool === 'lasso') { if (points.length > 2) this.send({ kind: 'lasso', how, points }); }
    else this.send({ kind: 'stroke', how, points, radius: Number(this.size.value) });
    this.show();
  }

  // ---------------------------------------------------------------- mouse, pen and fingers
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
  down(event) {
    const place = this.place(event);
    this.keyboard = false;
    this.note = null;
    this.fingers.set(event.pointerId, place);
    this.canvas.setPointerCapture(event.pointerId);
    if (this.fingers.size > 1) { this.gesture = { pinch: true }; this.draw(); return; }
    if (event.button === 1 || this.space || this.data.mode === 'watch') this.gesture = { pan: true };
    else if (this.data.mode === 'compare') this.gesture = { split: true };
    else {
      const tag = this.tool === 'point' && !this.hidden && this.tags().find(([, [x, y, w, h]]) => place[0] >= x && place[0] < x + w && place[1] >= y && place[1] < y + h);
      if (tag) { this.send({ kind: 'candidate', number: tag[0].number }); return; }
      this.gesture = { how: this.howNow(event.button), path: [this.view.share(...place)], start: place, pointer: event.pointerId };
    }
    if (event.button === 1) event.preventDefault(); // no autoscroll
    this.move(event);
  }
  move(event) {
    this.moved = Date.now();
    const place = this.place(event), before = this.fingers.get(event.pointerId), { gesture, view } = this;
    this.hover = event.pointerType === 'touch' ? null : place;
    if (before && gesture?.pinch) this.pinch(event.pointerId, place);
    else if (before && gesture?.pan) view.pan(...place.map((v, k) => v - before[k]));
    else if (before && gesture?.split) {
      this.splitAt(view.share(...place)[0]);
    } else if (gesture?.path && gesture.pointer === event.pointerId) {
      const far = Math.hypot(place[0] - gesture.start[0], place[1] - gesture.start[1]) > 6;
      if (this.tool === 'point' && far && !view.whole) this.gesture = { pan: true }; // a drag is no click
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) gesture.path.push(view.share(...this.place(each)));
    }
    if (before) this.fingers.set(event.pointerId, place);
    if (this.hover) this.suggest(place);
    this.draw();
  }
  suggest(place) { // what a click would take, where the pointer rests
    const pen = this.painter.pen, at = this.view.at(...place);
    pen.setTransform(1, 0, 0, 1, 0, 0);
    if (this.offer && pen.isPointInPath(this.offer, ...at, 'evenodd')) return;
    this.forget();
    if (!this.data.clicks || this.data.mode !== 'mark' || this.tool !== 'point' || this.gesture || this.waiting.length) return;
    this.resting = setTimeout(async () => {
      const [x, y] = this.view.share(...place), asked = (this.asking = new AbortController());
      const address = new URL(`picture/${this.data.source}/click?x=${x}&y=${y}`, document.baseURI);
      const answer = await fetch(address, { signal: asked.signal }).then((r) => r.json()).catch(() => []);
      if (this.asking === asked) { this.offer = pathOf(answer); this.draw(); }
    }, 200);
  }
  forget() {
    clearTimeout(this.resting);
    this.asking?.abort();
    this.asking = this.offer = null;
  }
  pinch(finger, place) {
    const [one, two] = [...this.fingers.keys()], other = this.fingers.get(finger === one ? two : one);
    const spread = (point) => Math.max(10, Math.hypot(point[0] - other[0], point[1] - other[1]));
    const before = this.fingers.get(finger), middle = place.map((v, k) => (v + other[k]) / 2);
    this.view.zoom((this.view.scale * spread(place)) / spread(before), middle);
    this.view.pan(...place.map((v, k) => (v - before[k]) / 2));
  }
  up(event) {
    this.fingers.delete(event.pointerId);
    if (this.gesture?.path && this.gesture.pointer === event.pointerId) this.finish();
    else if (!this.fingers.size) this.drop();
  }
  wheel(event) {
    const step = event.deltaY * (event.deltaMode ? 16 : 1) * (event.ctrlKey ? 0.01 : 0.0015);
    const before = this.view.scale;
    this.view.zoom(before * Math.exp(-step), this.place(event));
    if (this.view.scale !== before || !this.view.whole) event.preventDefault(); // else the page scrolls
    this.show();
  }

  // ---------------------------------------------------------------- keyboard
  arrow(event) { // arrows move a cross, Enter clicks or begins and ends: no mouse is needed
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const { view, gesture } = this, marking = this.data.mode === 'mark';
    if (move) {
      const step = (event.shiftKey ? 0.05 : 0.01) * Math.max(...view.size.map((v) => v * view.scale), 1);
      const near = Math.min(step, 0.05 * Math.max(...view.frame));
      this.keyboard = true;
      this.cursor = this.cursor.map((v, k) => within(v + (move[k] * near) / (view.size[k] * view.scale), 0, 1));
      const place = view.place(this.cursor);
      view.pan(...place.map((v, k) => within(v, 0, view.frame[k]) - v));
      if (gesture?.keyed) gesture.path.push([...this.cursor]);
    } else if (event.key === 'Enter' && this.keyboard && marking) {
      if (gesture?.keyed) this.finish();
      else {
        this.gesture = { keyed: true, how: this.howNow(), path: [[...this.cursor]] };
        if (this.tool === 'point') this.finish();
      }
    } else return;
    event.preventDefault();
    this.show();
  }
  key(event) {
    if (event.key === 'c' && event.ctrlKey && String(getSelection())) return; // words are copied
    const target = event.composedPath()[0];
    if (!(target instanceof Element) || typing(target) || this.one('dialog').open) return;
    const name = keyOf(event), known = KEYS.find(([key]) => key === name);
    // Tab and Space do what they do elsewhere, unless a hand is on the mouse over the picture
    const near = target === document.body || this.root.contains(target);
    const pointing = this.peeking || this.space || (this.over && near && Date.now() - this.moved < 5000);
    if (name === 'Tab' && pointing) this.peeking = true;
    else if (name === ' ' && (pointing || target === this.canvas)) this.space = true;
    else if (known && !(event.altKey && !event.getModifierState('AltGraph')) && !(known[1] === 'drop' && !this.gesture)) this.do(known[1]);
    else return;
    this.show();
    event.stopPropagation(); // Streamlit has keys of its own
    event.preventDefault();
  }
}

const pathOf = (outlines) => {
  if (!outlines?.length) return null;
  const path = new Path2D();
  for (const line of outlines) {
    path.moveTo(line[0], line[1]);
    for (let k = 2; k < line.length; k += 2) path.lineTo(line[k], line[k + 1]);
    path.closePath();
  }
  return path;
};

export default function (component) {
  const root = component.parentElement.querySelector('.gb');
  const surface = (root.surface ??= new Surface(root)); // this runs again whenever the data change
  surface.take(component.data, component.setTriggerValue);
  return () => surface.leave();
}
