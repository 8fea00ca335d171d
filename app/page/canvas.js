// A picture to mark: click, box, brush and eraser. Coordinates leave as shares of width and height.
const touch = matchMedia('(pointer: coarse)').matches;
const SAYS = {
  point: {
    add: touch ? 'Tap a part to add it.' : 'Click a part to add it; right-click takes it away.',
    subtract: touch ? 'Tap a part to take it away.' : 'Click a part to take it away; right-click adds it.',
  },
  box: { add: 'Drag a box around what to add.', subtract: 'Drag a box around what to take away.' },
  brush: 'Draw over what belongs to the mask.',
  erase: 'Draw over what does not belong to the mask.',
};
const KEYS = { c: 'point', b: 'box', p: 'brush', e: 'erase' };

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  const root = parentElement.querySelector('.gb');
  const canvas = root.querySelector('canvas');
  const pen = canvas.getContext('2d');
  // kept on the element: this function runs again whenever the picture changes
  const mine = (root.mine ??= { tool: 'point', how: 'add', picture: new Image(), waiting: [], last: 0,
                                path: null, finger: null, doing: 'add', cursor: [0.5, 0.5],
                                keyboard: false });
  const size = root.querySelector('[data-size] input');
  const snap = root.querySelector('[data-snap] input');

  const ring = ([x, y], radius) => { // how large the brush is
    for (const [colour, more] of [['#000', 1.5], ['#fff', 0]]) {
      pen.lineWidth = 1.5;
      pen.strokeStyle = colour;
      pen.beginPath();
      pen.arc(x * canvas.width, y * canvas.height, radius + more, 0, 7);
      pen.stroke();
    }
  };

  const stroke = (points, how, radius) => {
    const w = canvas.width, h = canvas.height;
    pen.lineWidth = 2 * radius * Math.max(w, h);
    pen.strokeStyle = how === 'add' ? 'rgba(255,64,129,.55)' : 'rgba(64,156,255,.55)';
    pen.beginPath();
    points.forEach(([x, y], k) => (k ? pen.lineTo(x * w, y * h) : pen.moveTo(x * w, y * h)));
    if (points.length === 1) pen.lineTo(points[0][0] * w + 0.1, points[0][1] * h);
    pen.stroke();
  };

  const draw = () => {
    if (!mine.picture.naturalWidth) return;
    const { path, doing: how } = mine;
    pen.drawImage(mine.picture, 0, 0, canvas.width, canvas.height);
    const w = canvas.width, h = canvas.height;
    pen.lineCap = pen.lineJoin = 'round';
    if (path && mine.tool === 'box') {
      const [a, b] = [path[0], path[path.length - 1]];
      pen.lineWidth = Math.max(2, w / 250);
      pen.strokeStyle = how === 'add' ? '#ff4081' : '#409cff';
      pen.strokeRect(a[0] * w, a[1] * h, (b[0] - a[0]) * w, (b[1] - a[1]) * h);
    } else if (path) stroke(path, how, size.value);
    for (const mark of mine.waiting) if (mark.kind === 'stroke') stroke(mark.points, mark.how, mark.radius);
    if (mine.hover && (mine.tool === 'brush' || mine.tool === 'erase')) ring(mine.hover, size.value * Math.max(w, h));
    if (mine.keyboard && root.getRootNode().activeElement === canvas) {
      const [x, y] = [mine.cursor[0] * w, mine.cursor[1] * h];
      pen.lineWidth = 2;
      for (const [colour, d] of [['#000', 1], ['#fff', 0]]) {
        pen.strokeStyle = colour;
        pen.beginPath();
        pen.moveTo(x - 12 + d, y + d); pen.lineTo(x + 12 + d, y + d);
        pen.moveTo(x + d, y - 12 + d); pen.lineTo(x + d, y + 12 + d);
        pen.stroke();
      }
    }
  };

  const show = () => {
    root.querySelectorAll('[data-tool]').forEach((b) =>
      b.setAttribute('aria-pressed', String(b.dataset.tool === mine.tool)));
    const button = root.querySelector('[data-how]');
    const drawing = mine.tool === 'brush' || mine.tool === 'erase';
    button.textContent = mine.how === 'add' ? 'Add' : 'Subtract';
    button.setAttribute('aria-pressed', String(mine.how !== 'add'));
    button.hidden = drawing;
    root.querySelector('[data-size]').hidden = !drawing;
    root.querySelector('[data-snap]').hidden = mine.tool !== 'box';
    canvas.style.touchAction = mine.tool === 'point' ? 'manipulation' : 'none';
    root.querySelector('.say').textContent = SAYS[mine.tool][mine.how] ?? SAYS[mine.tool];
  };

  // marks made while the page is busy go again with the next one, until it says that they are done
  const send = (mark) => {
    mine.last = Math.max(Date.now(), mine.last + 1);
    mine.waiting.push({ ...mark, id: mine.last });
    setTriggerValue('mark', { marks: mine.waiting });
    root.querySelector('.say').textContent = 'marking …';
  };
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const share = (v, low, span) => Math.min(1, Math.max(0, (v - low) / span));
    return [share(event.clientX, box.left, box.width), share(event.clientY, box.top, box.height)];
  };
  const other = (value) => (value === 'add' ? 'subtract' : 'add');

  const finish = () => {
    const { path: points, doing: how } = mine;
    mine.path = null;
    if (!points) return;
    if (mine.tool === 'point') send({ kind: 'point', how, points: points.slice(0, 1) });
    else if (mine.tool === 'box') {
      const [a, b] = [points[0], points[points.length - 1]];
      if (Math.abs(a[0] - b[0]) > 0.003 && Math.abs(a[1] - b[1]) > 0.003)
        send({ kind: 'box', how, points: [a, b], snap: snap.checked });
      draw();
    } else {
      const every = Math.ceil(points.length / 5000);
      send({ kind: 'stroke', how, points: points.filter((_, k) => k % every === 0), radius: Number(size.value) });
    }
  };

  canvas.onpointerdown = (event) => {
    if (event.button === 1 || mine.path) return; // a second finger does not begin another mark
    mine.keyboard = false;
    mine.finger = event.pointerId;
    mine.doing = mine.tool === 'erase' ? 'subtract' : mine.tool === 'brush' ? 'add' : mine.how;
    if (event.button === 2) mine.doing = other(mine.doing);
    canvas.setPointerCapture(event.pointerId);
    mine.path = [at(event)];
    draw();
  };
  canvas.onpointermove = (event) => {
    mine.hover = event.pointerType === 'touch' ? null : at(event);
    if (mine.path && event.pointerId === mine.finger) mine.path.push(at(event));
    if (mine.path || mine.tool === 'brush' || mine.tool === 'erase') draw();
  };
  canvas.onpointerleave = () => { mine.hover = null; draw(); };
  canvas.onpointerup = (event) => { if (event.pointerId === mine.finger) finish(); };
  canvas.onpointercancel = () => { mine.path = null; draw(); };
  canvas.oncontextmenu = (event) => event.preventDefault();

  root.querySelectorAll('[data-tool]').forEach((b) => {
    b.onclick = () => { mine.tool = b.dataset.tool; show(); };
  });
  root.querySelector('[data-how]').onclick = () => { mine.how = other(mine.how); show(); };

  // arrows move a cross, Enter clicks: the picture can be marked without a mouse
  canvas.onkeydown = (event) => {
    const step = event.shiftKey ? 0.05 : 0.01;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (move[event.key]) {
      mine.keyboard = true;
      mine.cursor = mine.cursor.map((v, k) => Math.min(1, Math.max(0, v + move[event.key][k])));
      draw();
      event.preventDefault();
    } else if (event.key === 'Enter' && mine.keyboard) {
      send({ kind: 'point', how: mine.how, points: [mine.cursor] });
      event.preventDefault();
    }
  };
  const onKey = (event) => {
    const target = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || !target) return;
    if (target.isContentEditable || ['TEXTAREA', 'SELECT'].includes(target.tagName)) return;
    if (target.tagName === 'INPUT' && !['range', 'checkbox'].includes(target.type)) return;
    if (KEYS[event.key]) { mine.tool = KEYS[event.key]; show(); }
    else if (event.key === 'x') { mine.how = other(mine.how); show(); }
    else if (event.key === '[' || event.key === ']') {
      size.value = Number(size.value) + (event.key === '[' ? -0.005 : 0.005);
      draw();
    }
    else if (event.key === 'u') send({ kind: 'undo' });
    else if (event.key === 'r') send({ kind: 'redo' });
    else return;
    event.stopPropagation(); // Streamlit has keys of its own
    event.preventDefault();
  };
  document.removeEventListener('keydown', mine.onKey, true); // the last time's
  mine.onKey = onKey;
  document.addEventListener('keydown', onKey, true);

  mine.waiting = mine.turn === data.turn ? mine.waiting.filter((mark) => mark.id > data.done) : [];
  canvas.setAttribute('aria-label', data.label);
  mine.picture.onload = () => {
    canvas.width = mine.picture.naturalWidth;
    canvas.height = mine.picture.naturalHeight;
    // by its width alone: with a limit on both sides the picture would be squeezed
    canvas.style.width = `min(100%, ${(70 * canvas.width) / canvas.height}vh)`;
    draw();
    root.dataset.ready = data.stamp;
    if (fresh) root.scrollIntoView({ block: 'nearest' });
  };
  const fresh = mine.turn !== data.turn; // another picture: its top is shown, wherever one was
  if (fresh) mine.path = null;
  mine.turn = data.turn;
  mine.picture.src = data.image;
  show();
  return () => document.removeEventListener('keydown', mine.onKey, true);
}
